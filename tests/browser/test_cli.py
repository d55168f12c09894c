"""`--device browser…` on the command line: the same call as natively, on every device that Chromium has."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import webree
from webree.errors import UsageError
from webree.tools.browser_session import find_chromium
from webree.tools.main import main
from webree.tools.site_parts import pyodide_folder

pytestmark = pytest.mark.browser

MODEL = b"""
func.func @square(%x: tensor<4xf32>) -> tensor<4xf32> {
  %y = arith.mulf %x, %x : tensor<4xf32>
  return %y : tensor<4xf32>
}
"""
CALL = ["--input", "4xf32=1,2,-3,0.5", "--expected-output", "4xf32=1,4,9,0.25"]


@pytest.fixture(autouse=True)
def chromium() -> None:
    try:
        find_chromium()
        pyodide_folder()
    except UsageError as error:
        pytest.fail(str(error)) if os.environ.get("CI") else pytest.skip(str(error))


@pytest.mark.parametrize(("device", "adapter"), [("browser:cpu", "wasm (Chromium)"), ("browser:webgpu", "swiftshader")])
def test_one_module_on_the_browsers_devices(
    device: str, adapter: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "square.vmfb"
    path.write_bytes(webree.compile(MODEL, target="webgpu,cpu"))
    assert main(["run", str(path), "--device", device, *CALL]) == 0
    captured = capsys.readouterr()
    assert adapter in captured.err.lower() or adapter in captured.err
    assert "as expected: 1 of 1 outputs checked" in captured.err


def test_a_model_is_compiled_for_what_the_browser_takes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a GPU that is the CPU; the benchmark runs there too and times every dispatch."""
    monkeypatch.setenv("WEBREE_CACHE", str(tmp_path / "cache"))
    model = tmp_path / "square.mlir"
    model.write_bytes(MODEL)
    assert main(["benchmark", str(model), "--device", "browser", "--repetitions", "3", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["per_call"]["dispatches"] == 1
    assert facts["per_call"]["crossings"] >= 1
    assert facts["reason"].startswith("auto: ")
    if facts["adapter"] == "wasm (Chromium)":
        (cached,) = (tmp_path / "cache").iterdir()
        assert main(["dump", str(cached), "--json"]) == 0
        assert list(json.loads(capsys.readouterr().out)["executables"]) == ["cpu"]


def test_wrong_use_is_said_before_the_browser_starts(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "square.vmfb"
    path.write_bytes(webree.compile(MODEL, target="cpu"))
    assert main(["run", str(path), "--device", "browser", "--function", "cube"]) == 2
    assert "the module has no function 'cube'" in capsys.readouterr().err
