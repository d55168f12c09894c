"""What the compiler makes of the fused rows of the op table is accepted by Tint; naga sees them when they run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import webree
from tests.golden.validators import tint_errors
from tests.ops.table import GROUPS
from webree.errors import UsageError
from webree.tools.browser_session import find_chromium


@pytest.mark.browser
def test_tint_accepts_fused_kernels(tmp_path: Path) -> None:
    try:
        chromium = find_chromium()
    except UsageError as error:
        pytest.fail(str(error)) if os.environ.get("CI") else pytest.skip(str(error))
    groups = [group for group in GROUPS if group.startswith("fused") or group == "outside"]
    for group in groups:
        webree.compile("\n".join(case.text for case in GROUPS[group]), dump_wgsl=tmp_path / group)
    sources = {path.stem: path.read_text(encoding="utf-8") for path in sorted(tmp_path.rglob("*.wgsl"))}
    assert len(sources) > len(groups)
    assert tint_errors(sources, chromium) == {}
