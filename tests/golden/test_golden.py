"""The golden files: translation gives exactly these texts, and both WGSL compilers accept them.

`python -m tests.golden.regenerate` rewrites the outputs after a wanted change; the diff is then reviewed.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.golden.regenerate import FOLDER, inputs, translate
from tests.golden.validators import naga_errors, tint_errors
from webree.errors import UsageError
from webree.tools.browser_session import find_chromium

# What Chromium's software adapter does not have: Tint parses these, no pipeline can be made.
NOT_ON_SWIFTSHADER = {"half": "lacks shader-f16", "half_beside_i16": "lacks shader-f16"}


def outputs() -> dict[str, str]:
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted((FOLDER / "out").glob("*.wgsl"))}


@pytest.mark.parametrize("path", inputs(), ids=lambda path: path.stem)
def test_translation_is_as_recorded(path: Path) -> None:
    recorded = (FOLDER / "out" / f"{path.stem}.wgsl").read_text(encoding="utf-8")
    assert translate(path).source == recorded


def test_every_output_has_an_input() -> None:
    assert sorted(outputs()) == [path.stem for path in inputs()]


@pytest.mark.native
def test_naga_accepts_all() -> None:
    # naga has the subgroup functions and does not know the extension's name yet.
    sources = {name: source.replace("enable subgroups;", "") for name, source in outputs().items()}
    assert naga_errors(sources) == {}


@pytest.mark.browser
def test_tint_accepts_all() -> None:
    try:
        chromium = find_chromium()
    except UsageError as error:
        pytest.fail(str(error)) if os.environ.get("CI") else pytest.skip(str(error))
    assert tint_errors(outputs(), chromium) == NOT_ON_SWIFTSHADER
