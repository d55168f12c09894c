"""`webree bundle`: write a static web site that runs a module in the visitor's browser.

Enters: a module (or a model, which is compiled first), and, if the page is to answer something about files, the Python
program around it. Leaves: a folder with everything the page needs and nothing from elsewhere: page, worker, Pyodide,
runtime, module. All addresses are relative, so any web server can serve it from any path (`webree serve` does).
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from webree.errors import UsageError
from webree.tools.compile import add_compile_arguments, add_target_argument, parse_dims
from webree.tools.model_cache import module_file, require_file
from webree.tools.site_parts import PYODIDE_FILES, pyodide_folder, runtime_wheel, web_folder

__all__ = ["EXAMPLES", "add_arguments", "run", "write_site"]

PAGE_FILES = ("index.html", "page.js", "webree.js", "webree.d.ts", "worker.js")

EXAMPLES = """\
examples:
  webree bundle model.vmfb -o site/        a page that calls the model's functions
  webree bundle model.onnx -o site/ --target webgpu,cpu        also for visitors without a GPU
  webree bundle magika.vmfb -o site/ --program page.py --file features.py --file labels.json
  webree serve site/

A program is a Python file with `async def answer(module, file, name)`. It gets the loaded module and a dropped file
(with `size` and `read(byte_offset, byte_length)`), and returns `{"title": str, "rows": [[label, score], ...]}`.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `webree bundle`."""
    parser.add_argument("module", metavar="MODULE", type=Path, help="a module (.vmfb), or a model to compile first")
    parser.add_argument("-o", "--output", metavar="SITE", type=Path, required=True, help="the folder to write")
    parser.add_argument("--name", help="what the page calls the model (default: the module's file name)")
    parser.add_argument(
        "--program", metavar="FILE", type=Path, help="Python around the model: a file in, an answer out"
    )
    parser.add_argument(
        "--file", metavar="FILE", type=Path, action="append", default=[], help="what the program needs (repeatable)"
    )
    parser.add_argument("--pyodide", metavar="DIR", type=Path, help="Pyodide's files (default: node_modules/pyodide)")
    add_target_argument(parser)
    add_compile_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the site and say what is in it."""
    require_file(arguments.module)
    pyodide = pyodide_folder(arguments.pyodide)
    dims = parse_dims(arguments.dim)
    module = module_file(
        arguments.module,
        target=arguments.target,
        profile=arguments.profile,
        dims=dims,
        accumulate=arguments.accumulate,
    )
    name = arguments.name or arguments.module.stem
    byte_size = write_site(arguments.output, module, name, pyodide, arguments.program, arguments.file)
    print(f"{arguments.output}: {byte_size / 1e6:.1f} MB; look at it with `webree serve {arguments.output}`")
    return 0


def write_site(
    site: Path, module: Path, name: str, pyodide: Path, program: Path | None = None, files: list[Path] | None = None
) -> int:
    """Write a site into the folder `site` (made if it is missing) and return its size in bytes.

    Raises `UsageError` for missing files, two files of one name, or a folder that holds something else already."""
    parts = [program, *(files or [])] if program else []
    if files and not program:
        raise UsageError("--file is for what a program needs; there is no --program")
    _check_parts(parts)
    if site.exists() and any(site.iterdir()) and not (site / "site.json").is_file():
        raise UsageError(f"{site} is not empty and is not a site of webree; choose another folder")

    models, runtime = site / "models" / _slug(name), site / "pyodide"
    models.mkdir(parents=True, exist_ok=True)
    runtime.mkdir(exist_ok=True)
    for part in PAGE_FILES:
        shutil.copyfile(web_folder() / part, site / part)
    for part in PYODIDE_FILES:
        shutil.copyfile(pyodide / part, runtime / part)
    wheel = runtime_wheel(site)
    shutil.copyfile(module, models / "model.vmfb")
    for path in parts:
        shutil.copyfile(path, models / path.name)
    settings = {
        "wheel": wheel.name,
        "models": [
            {
                "name": name,
                "module": (models / "model.vmfb").relative_to(site).as_posix(),
                "program": [(models / path.name).relative_to(site).as_posix() for path in parts],
            }
        ],
    }
    (site / "site.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    return sum(path.stat().st_size for path in site.rglob("*") if path.is_file())


def _check_parts(parts: list[Path]) -> None:
    names: set[str] = set()
    for path in parts:
        if not path.is_file():
            raise UsageError(f"no file at {path}")
        if path.name in names:
            raise UsageError(f"two files are named {path.name}; all files of a program share one folder")
        names.add(path.name)


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name).strip(".-") or "model"
