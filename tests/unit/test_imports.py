"""Who imports what: `import webree` is light, the runtime never touches the compiler, and only the files that own an
environment import it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import webree

PACKAGE = Path(webree.__file__).parent
HEAVY = (
    "numpy",
    "wasmtime",
    "wgpu",
    "iree",
    "onnx",
    "flatbuffers",
    "js",
    "pyodide",
    "playwright",
    "ml_dtypes",
    "safetensors",
)
MAY_IMPORT = {
    "js": ("browser/", "hal_webgpu/browser.py", "hal_local/browser", "hal_local/host_wasm_browser.py"),
    "pyodide": ("browser/", "hal_webgpu/browser.py", "hal_local/browser", "hal_local/host_wasm_browser.py"),
    "wasmtime": ("hal_local/native", "hal_local/host_wasm_native.py"),
    "wgpu": ("hal_webgpu/native",),
    "iree": ("compiler/", "codegen_wgsl/", "codegen_cpu/"),
    "onnx": ("compiler/", "tools/", "onnx_backend.py"),
    "playwright": ("tools/",),
}
"""Package -> beginnings of the paths that may import it."""
RUNTIME_FREE_OF = ("webree.compiler", "webree.codegen_wgsl", "webree.codegen_cpu", "webree.tools")
NOT_RUNTIME = ("compiler/", "codegen_wgsl/", "codegen_cpu/", "tools/")


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def imports_of(path: Path) -> set[str]:
    """Every module named in an import statement, at whatever depth."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


SOURCES = {path.relative_to(PACKAGE).as_posix(): imports_of(path) for path in sorted(PACKAGE.rglob("*.py"))}


def test_import_webree_loads_nothing_else() -> None:
    loaded = run("import sys; before = set(sys.modules); import webree; print(*sorted(set(sys.modules) - before))")
    names = set(loaded.split())
    assert "webree" in names
    assert {name for name in names if name.partition(".")[0] in HEAVY} == set()
    assert {name for name in names if name.startswith("webree.")} == set()


def test_public_names_resolve_without_heavy_imports() -> None:
    code = (
        f"import sys, webree; [getattr(webree, n) for n in webree.__all__]; print(*(set(sys.modules) & set({HEAVY})))"
    )
    assert run(code) == ""


def test_import_time() -> None:
    """At most 80 ms of the processor for `import webree`; the best of a few runs, since the machine may be busy."""
    code = "import time; t = time.process_time(); import webree; print((time.process_time() - t) * 1000)"
    assert min(float(run(code)) for _ in range(5)) < 80


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_environments_stay_in_their_files(package: str) -> None:
    users = [name for name, found in SOURCES.items() if any(n.partition(".")[0] == package for n in found)]
    assert [name for name in users if not name.startswith(MAY_IMPORT[package])] == []


def test_numpy_is_imported_only_where_it_is_used() -> None:
    """At the top of a file only by the rooms that need it anyway, and by the one file that is chosen if it is there."""
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in _at_the_top(ast.parse(path.read_text("utf-8")))
        if "numpy" in {name.partition(".")[0] for name in _names(node)}
    }
    assert {name for name in users if not name.startswith(NOT_RUNTIME)} <= {"vm/modules/vmvx_numpy.py"}


def _at_the_top(tree: ast.Module) -> Iterator[ast.stmt]:
    """Statements that run on import; `if TYPE_CHECKING` does not."""
    for node in tree.body:
        if isinstance(node, ast.Try):
            yield from node.body
        yield node


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def test_the_runtime_does_without_the_compiler() -> None:
    users = {
        name
        for name, found in SOURCES.items()
        if not name.startswith(NOT_RUNTIME) and any(n.startswith(RUNTIME_FREE_OF) for n in found)
    }
    assert users <= {"__init__.py", "__main__.py"}


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="module 'webree' has no attribute 'lode'"):
        webree.lode  # noqa: B018
    assert {"load", "load_async", "compile", "devices", "Module"} <= set(dir(webree))
