"""Many calls of one module at once in the browser: each gets its own answer, and state counts every call once."""

from __future__ import annotations

import pytest

from tests.api_model import module_bytes
from webree.tools.browser_session import BrowserSession

pytestmark = pytest.mark.browser


def test_gathered_calls(session: BrowserSession) -> None:
    code = """
import asyncio, webree
module = await webree.load_async(url)
sums, counts, halves = await asyncio.gather(
    asyncio.gather(*(module.add_async([float(n)] * n, [1.0] * n) for n in range(1, 20))),
    asyncio.gather(*(module.count_async() for _ in range(5))),
    asyncio.gather(*(module.halve_until_small_async(2.0 ** n) for n in range(4))),
)
await module.close_async()
[[s.tolist() for s in sums], sorted(int(c) for c in counts), [steps for _, steps in halves]]
"""
    sums, counts, steps = session.run(code, url=session.serve("api.vmfb", module_bytes()))
    assert sums == [[n + 1.0] * n for n in range(1, 20)]
    assert counts == [1, 2, 3, 4, 5]
    assert steps == [1, 2, 3, 4]


def test_a_blocking_call_among_others(session: BrowserSession) -> None:
    """With JSPI a call in place waits for its turn while tasks that came before go on."""
    code = """
import asyncio, webree
module = await webree.load_async(url)
before = [asyncio.ensure_future(module.halve_until_small_async(2.0 ** 12)) for _ in range(3)]
await asyncio.sleep(0)
inside = module.add([1.0, 2.0], [3.0, 4.0]).tolist()
after = [steps for _, steps in await asyncio.gather(*before)]
module.close()
[inside, after]
"""
    inside, after = session.run(code, url=session.serve("api.vmfb", module_bytes()))
    assert inside == [4.0, 6.0]
    assert after == [13, 13, 13]
