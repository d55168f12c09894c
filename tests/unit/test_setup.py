"""scripts/setup.py: does each thing once, and says what it could not do and what the user can."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "setup.py"


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, at work in an empty folder."""
    spec = importlib.util.spec_from_file_location("webree_setup", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, path in (("ROOT", ""), ("LOG", "build/setup.log"), ("VENV", "venv"), ("NODE_MODULES", "node_modules")):
        monkeypatch.setattr(module, name, tmp_path / path)
    return module


def test_a_need_is_fulfilled_once_until_its_key_changes(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    keys = ["one"]
    setup.VENV.mkdir()
    row = ("a thing", setup.VENV, lambda need: keys[0], done.append)
    monkeypatch.setattr(setup, "NEEDS", {"thing": row})
    assert [setup.main(["thing"]) for _ in range(3)] == [0, 0, 0]
    assert done == ["thing"]
    keys[0] = "two"
    assert setup.main(["thing"]) == 0
    assert done == ["thing", "thing"]


def test_a_failed_need_is_not_stamped(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(need: str) -> None:
        setup.run([sys.executable, "-c", "print('no room left'); raise SystemExit(3)"], "it could not be installed")

    setup.VENV.mkdir()
    monkeypatch.setattr(setup, "NEEDS", {"thing": ("a thing", setup.VENV, lambda need: "key", fail)})
    assert setup.main(["thing"]) == 1
    message = capsys.readouterr().err
    assert message.startswith("setup: it could not be installed")
    assert "no room left" in message
    assert "build/setup.log" in message
    assert "no room left" in setup.LOG.read_text()
    assert not setup.fulfilled("thing")


def test_a_need_may_stay_open(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[str] = []

    def fail(need: str) -> None:
        raise setup.SetupError("No Vulkan adapter was found. Install it")

    setup.VENV.mkdir()
    rows = {"adapter": ("an adapter", setup.VENV, lambda need: "key", fail)}
    rows["node"] = ("Pyodide", setup.VENV, lambda need: "key", done.append)
    monkeypatch.setattr(setup, "NEEDS", rows)
    monkeypatch.delenv("CI", raising=False)
    assert setup.main(["adapter?", "node?"]) == 0
    assert done == ["node"]
    said = capsys.readouterr()
    assert "left out: nothing runs on WebGPU natively; the CPU device needs no driver. No Vulkan adapter" in said.out
    assert not setup.fulfilled("adapter")  # tried again the next time
    monkeypatch.setenv("CI", "1")
    assert setup.main(["adapter?"]) == 1
    assert setup.main(["adapter"]) == 1


def test_without_root_the_packages_are_named(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(setup.shutil, "which", lambda name: None)
    with pytest.raises(
        setup.SetupError, match=r"No Vulkan adapter was found\. Install it: apt-get install libvulkan1 mesa"
    ):
        setup.apt_install(setup.VULKAN_PACKAGES, "No Vulkan adapter was found")


def test_unknown_needs_are_listed(setup: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert setup.main(["python", "coffee"]) == 2
    assert "python, frameworks, lint, adapter, chromium, node, peers" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "progress"),
    [
        ("  Downloading https://host/a/b/onnx-1.0.whl (8.9 MB)\n", "downloading onnx-1.0.whl (8.9 MB)"),
        ("Installing collected packages: a, b, c\n", "installing 3 packages"),
        ("added 3 packages in 2s\n", "added 3 packages in 2s"),
        ("Collecting onnx\n", None),
        ("\n", None),
    ],
)
def test_progress_lines(setup: ModuleType, line: str, progress: str | None) -> None:
    assert setup.shown(line) == progress
