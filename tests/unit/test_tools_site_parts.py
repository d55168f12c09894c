"""What a site is made of: the runtime's wheel, Pyodide, the page files."""

from __future__ import annotations

import ast
import json
import zipfile
from pathlib import Path

import pytest

import webree
from webree.errors import UsageError
from webree.tools import bundle
from webree.tools.site_parts import PYODIDE_FILES, PYODIDE_VERSION, pyodide_folder, runtime_wheel, web_folder

PACKAGE = Path(webree.__file__).parent
WHEEL_LIMIT_BYTES = 250_000
LEFT_OUT = ("webree/compiler", "webree/codegen", "webree/tools", "webree/hal_webgpu/native", "webree/hal_local/native")


def test_wheel_is_small_complete_and_reproducible(tmp_path: Path) -> None:
    first, second = runtime_wheel(tmp_path / "a"), runtime_wheel(tmp_path / "b")
    assert first.name == f"webree-{webree.__version__}-py3-none-any.whl"
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size <= WHEEL_LIMIT_BYTES
    names = set(zipfile.ZipFile(first).namelist())
    assert {"webree/__init__.py", "webree/hal_webgpu/player/player.js", "webree/module/isa.json"} <= names
    assert {"webree/hal_local/player/player.wasm", "webree/hal_local/player/engine.js"} <= names
    assert any(name.startswith("webree/hal_webgpu/builtins/") for name in names)
    assert not any("__pycache__" in name or name.startswith(LEFT_OUT) for name in names)
    record = zipfile.ZipFile(first).read(f"webree-{webree.__version__}.dist-info/RECORD").decode()
    assert {line.split(",")[0] for line in record.splitlines()} == names


def test_nothing_in_the_wheel_needs_what_was_left_out(tmp_path: Path) -> None:
    """Imports of the compiler or the tools stand only where they can fail with a word: inside functions."""
    archive = zipfile.ZipFile(runtime_wheel(tmp_path))
    for name in archive.namelist():
        if not name.endswith(".py") or name == "webree/__main__.py":
            continue
        for node in ast.parse(archive.read(name)).body:  # what runs on import
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for module in modules:
                assert not module.replace(".", "/").startswith(LEFT_OUT), name


def test_pyodide_version_is_the_one_of_package_json() -> None:
    settings = json.loads((PACKAGE.parent / "package.json").read_text())
    assert settings["dependencies"]["pyodide"] == PYODIDE_VERSION


def test_lock_file_holds_no_addresses() -> None:
    assert '"resolved"' not in (PACKAGE.parent / "package-lock.json").read_text()


def test_missing_pyodide_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("webree.tools.site_parts._CHECKOUT", tmp_path)
    with pytest.raises(UsageError, match=rf"run `npm install pyodide@{PYODIDE_VERSION}`"):
        pyodide_folder()
    (tmp_path / "package-lock.json").write_text("{}")
    with pytest.raises(UsageError, match="run `npm ci` in"):
        pyodide_folder()
    with pytest.raises(UsageError, match="is not a folder of Pyodide"):
        pyodide_folder(tmp_path)


@pytest.fixture
def pyodide(tmp_path: Path) -> Path:
    folder = tmp_path / "pyodide"
    folder.mkdir()
    for name in PYODIDE_FILES:
        (folder / name).write_bytes(name.encode())
    return folder


def test_site_is_self_contained(tmp_path: Path, pyodide: Path) -> None:
    module, program, labels = tmp_path / "m.vmfb", tmp_path / "page.py", tmp_path / "labels.json"
    for path in (module, program, labels):
        path.write_bytes(path.name.encode())
    site = tmp_path / "site"
    byte_size = bundle.write_site(site, module, "My model", pyodide, program, [labels])
    settings = json.loads((site / "site.json").read_text())
    (model,) = settings["models"]
    assert model["name"] == "My model"
    assert model["program"] == ["models/My-model/page.py", "models/My-model/labels.json"]
    for path in (settings["wheel"], model["module"], *model["program"], *(f"pyodide/{name}" for name in PYODIDE_FILES)):
        assert (site / path).is_file(), path
    for path in web_folder().iterdir():
        assert (site / path.name).read_bytes() == path.read_bytes()
        assert "http" not in path.read_text().replace("http.", ""), f"{path.name} names an address"
    assert byte_size == sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    bundle.write_site(site, module, "My model", pyodide, program, [labels])  # again, over itself


def test_bundle_refuses_what_it_cannot_do(tmp_path: Path, pyodide: Path) -> None:
    module = tmp_path / "m.vmfb"
    module.write_bytes(b"m")
    with pytest.raises(UsageError, match="is not empty and is not a site of webree"):
        bundle.write_site(tmp_path, module, "m", pyodide)
    with pytest.raises(UsageError, match="there is no --program"):
        bundle.write_site(tmp_path / "s", module, "m", pyodide, None, [module])
    with pytest.raises(UsageError, match=r"no file at .*missing\.py"):
        bundle.write_site(tmp_path / "s", module, "m", pyodide, tmp_path / "missing.py")
    with pytest.raises(UsageError, match=r"two files are named m\.vmfb"):
        bundle.write_site(tmp_path / "s", module, "m", pyodide, module, [module])
    assert not (tmp_path / "s").exists()


def test_javascript_in_the_wheel_is_without_its_documentation(tmp_path: Path) -> None:
    """Every statement is there; what is left out are comments that begin a line."""
    archive = zipfile.ZipFile(runtime_wheel(tmp_path))
    scripts = [name for name in archive.namelist() if name.endswith(".js")]
    assert len(scripts) >= 8
    for name in scripts:
        shipped, written = archive.read(name).decode(), (PACKAGE.parent / name).read_text()
        assert len(shipped) < len(written)
        assert "* @param" not in shipped
        lines = written.splitlines()
        code = [line for line in lines if not line.lstrip().startswith(("/**", "*")) or "*/ " in line]
        assert shipped.splitlines() == code
