"""One Chromium for all browser tests: Pyodide in a worker, webree imported; starting it takes seconds.

Enters: this machine's Chromium and `node_modules/pyodide`. Leaves: the fixture `session`. Where something is missing
the tests are skipped with the command that installs it; where CI is set, they fail.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from webree.errors import UsageError
from webree.tools.browser_session import BrowserSession


def open_session(*, jspi: bool = True) -> BrowserSession:
    """A started session on SwiftShader, which every Chromium has."""
    try:
        return BrowserSession(adapter="swiftshader", jspi=jspi).start()
    except UsageError as error:
        return pytest.fail(str(error)) if os.environ.get("CI") else pytest.skip(str(error))


@pytest.fixture(scope="session")
def session() -> Iterator[BrowserSession]:
    """The shared browser. Tests leave no module open and no global behind that another could trip over."""
    with_browser = open_session()
    yield with_browser
    with_browser.close()
