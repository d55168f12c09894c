"""Language models in Chromium: greedy decoding token for token as the reference, on WebGPU and on the CPU device.

The token goes from call to call as a `DeviceArray`; the keys and values never leave the device.
"""

from __future__ import annotations

import pytest

from tests.browser.programs import on_cpu, on_webgpu
from tests.llm.random_models import RandomModel, random_gpt2, random_llama
from webree.tools.browser_session import BrowserSession

pytestmark = pytest.mark.browser

GENERATE = """
import array, webree

async def generate():
    module = await webree.load_async(url, device=device)
    tokens = [await module.prefill.on_device_async(array.array("i", prompt))]
    while len(tokens) < count:
        tokens.append(await module.decode.on_device_async(tokens[-1]))
    answer = [int((await token.to_host_async())[0]) for token in tokens]
    position = int(await module.position_async())
    await module.close_async()
    return [answer, position, module.device.info.name]

await generate()
"""


def check(session: BrowserSession, model: RandomModel, seed: int, count: int, device: str) -> None:
    print(f"WEBREE_SEED={seed}")
    prompt, expected = model.greedy(seed, 21, count)
    data = (on_cpu if device == "cpu" else on_webgpu)(model.data, {"context": 96})
    url = session.serve("language.vmfb", data)
    answer, position, adapter = session.run(GENERATE, url=url, device=device, prompt=prompt, count=count)
    assert answer == expected
    assert position == 21 + count - 1
    assert ("wasm" if device == "cpu" else "swiftshader") in adapter.lower()


def test_gpt_of_64_tokens(session: BrowserSession, seed: int) -> None:
    check(session, random_gpt2(seed), seed, 64, "webgpu")


@pytest.mark.parametrize("device", ["webgpu", "cpu"])
def test_quantised_llama(session: BrowserSession, seed: int, device: str) -> None:
    check(session, random_llama(seed, layers=1, types=("Q4_1", "Q6_K"), width=256), seed, 12, device)
