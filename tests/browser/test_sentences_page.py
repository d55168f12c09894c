"""The sentence encoder as a web page: a visitor drops a text file and reads which lines are nearest to the first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from demos.sentences import demo
from demos.sentences.fetch import MINILM
from tests.browser.pages import tab
from tests.compiling import one_at_a_time
from webree.tools.browser_session import BrowserSession
from webree.tools.bundle import write_site
from webree.tools.serve import SiteServer
from webree.tools.site_parts import pyodide_folder

pytestmark = pytest.mark.browser

FOLDER = Path(demo.__file__).parent


def test_drop_a_text_and_read_which_lines_are_near(session: BrowserSession, tmp_path: Path) -> None:
    with one_at_a_time("sentences"):
        module = demo.compile_module()
    files = [FOLDER / "tokenizer.py", MINILM.fetch() / "vocab.txt"]
    write_site(tmp_path / "site", module, "Sentences", pyodide_folder(), FOLDER / "page.py", files)
    with SiteServer({"/": tmp_path / "site"}) as server, tab(session) as page:
        page.goto(server.url)
        page.locator("#ask-file").wait_for()
        text = tmp_path / "lines.txt"
        lines = (demo.SENTENCES[1], "", demo.SENTENCES[4], demo.SENTENCES[0], demo.SENTENCES[2])
        text.write_text("\n".join(lines))
        page.locator("#file").set_input_files(text)
        page.get_by_role("heading", name=lines[0]).wait_for()
        found = page.locator("#rows th").all_inner_texts()
        assert found[0] == demo.SENTENCES[0]
        assert sorted(found[1:]) == sorted((demo.SENTENCES[2], demo.SENTENCES[4]))
        vectors, _ = demo.natively(module, "cpu", (lines[0], *found))
        shown = [float(cell.removesuffix(" %")) / 100 for cell in page.locator("#rows td.number").all_inner_texts()]
        np.testing.assert_allclose(shown, vectors[1:] @ vectors[0], atol=1e-4)
