"""One Chromium for all browser tests: Pyodide in a worker, webree imported; starting it takes seconds.

Enters: this machine's Chromium and `node_modules/pyodide`. Leaves: the fixtures `session`, with WebGPU and two threads
for the CPU device, `alone`, with neither, and `cpu_session`, for what must hold in both. Where something is missing
the tests are skipped with the command that installs it; where CI is set, they fail.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from webree.errors import UsageError
from webree.tools.browser_session import BrowserSession

CPU_THREADS = 2


def open_session(
    *, adapter: str = "swiftshader", jspi: bool = True, isolated: bool = True, threads: int = CPU_THREADS
) -> BrowserSession:
    """A started session on SwiftShader, which every Chromium has."""
    try:
        return BrowserSession(adapter=adapter, jspi=jspi, isolated=isolated, threads=threads).start()
    except UsageError as error:
        return pytest.fail(str(error)) if os.environ.get("CI") else pytest.skip(str(error))


_SHARED: list[BrowserSession] = []

FORGET = """
for name in [name for name in globals() if not name.startswith("__")]:
    del globals()[name]
__import__("gc").collect()
None
"""


@contextmanager
def _shared(session: BrowserSession) -> Iterator[BrowserSession]:
    _SHARED.append(session)
    yield session
    _SHARED.remove(session)
    session.close()


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Python's globals in the shared browsers, and the devices that they keep, end with the file that made them."""
    yield
    for session in _SHARED:
        session.run(FORGET)


@pytest.fixture(scope="session")
def session() -> Iterator[BrowserSession]:
    """The shared browser. Tests leave no module open."""
    with _shared(open_session()) as with_browser:
        yield with_browser


@pytest.fixture(scope="session")
def alone() -> Iterator[BrowserSession]:
    """A browser without WebGPU, with a page that may not share memory: no threads."""
    with _shared(open_session(adapter="none", isolated=False)) as without:
        yield without


@pytest.fixture(scope="session", params=["threads", "alone"])
def cpu_session(request: pytest.FixtureRequest) -> BrowserSession:
    """A browser for the CPU device: with threads, then without."""
    found: BrowserSession = request.getfixturevalue("session" if request.param == "threads" else "alone")
    return found
