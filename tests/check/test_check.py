"""`webree check`: the check files of this folder on every kind of device, and what the command says of others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import find_adapter
from webree.errors import CompileError
from webree.tools.check_source import find_functions, only, split_modules
from webree.tools.check_worker import Compiler, CrashError
from webree.tools.main import main

FILES = sorted(Path(__file__).parent.glob("*.mlir"))
DIALECTS = ["linalg", "linalg_ext", "math", "regression", "stablehlo", "tensor", "tosa"]

GOOD = """
func.func @good() {
  %x = util.unfoldable_constant dense<[1, 2]> : tensor<2xi32>
  %y = arith.addi %x, %x : tensor<2xi32>
  check.expect_eq_const(%y, dense<[2, 4]> : tensor<2xi32>) : tensor<2xi32>
  return
}
"""
BAD = """
func.func @bad() {
  %x = util.unfoldable_constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>
  %y = arith.mulf %x, %x : tensor<2x2xf32>
  check.expect_almost_eq_const(%y, dense<[[1.0, 4.0], [9.5, 16.5]]> : tensor<2x2xf32>, atol 0.25) : tensor<2x2xf32>
  return
}
"""
INVALID = """
func.func @invalid() {
  %x = arith.addf %y, %y : tensor<2xf32>
  return
}
"""
REFUSED = """
func.func @refused() {
  %x = util.unfoldable_constant dense<1.0> : tensor<4xf32>
  %y = "stablehlo.custom_call"(%x) <{call_target_name = "unknown"}> : (tensor<4xf32>) -> tensor<4xf32>
  check.expect_almost_eq(%y, %x) : tensor<4xf32>
  return
}
"""
WITH_ARGUMENTS = """
func.func @takes(%x: tensor<2xi32>) {
  check.expect_eq(%x, %x) : tensor<2xi32>
  return
}
"""


def check(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    """Exit code and the JSON of the command."""
    code = main(["check", "--json", *words])
    return code, json.loads(capsys.readouterr().out)


def results(facts: dict[str, Any]) -> dict[str, str]:
    return {item["function"]: item["result"] for item in facts["outcomes"]}


def write(folder: Path, *texts: str) -> str:
    path = folder / "program.mlir"
    path.write_text("".join(texts))
    return str(path)


def names_in(paths: list[Path]) -> set[tuple[str, str]]:
    return {
        (str(path), function.name)
        for path in paths
        for part in split_modules(path.read_text())
        for function in find_functions(part)
        if function.is_check
    }


def all_pass(facts: dict[str, Any], paths: list[Path]) -> None:
    assert [item for item in facts["outcomes"] if item["result"] != "passed"] == []
    assert {(item["file"], item["function"]) for item in facts["outcomes"]} == names_in(paths)


# --- The check files --------------------------------------------------------------------------------------------------


def test_there_is_a_file_for_every_dialect() -> None:
    assert [path.stem for path in FILES] == DIALECTS
    assert len(names_in(FILES)) >= 75


@pytest.mark.native
def test_files_on_webgpu(capsys: pytest.CaptureFixture[str]) -> None:
    name = find_adapter("lavapipe").name
    code, facts = check(capsys, "--device", name, *map(str, FILES))
    all_pass(facts, FILES)
    assert code == 0
    assert facts["adapter"] == name


def test_files_on_the_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    code, facts = check(capsys, "--device", "cpu", *map(str, FILES))
    all_pass(facts, FILES)
    assert code == 0


@pytest.mark.browser
def test_file_in_the_browser(capsys: pytest.CaptureFixture[str]) -> None:
    path = next(path for path in FILES if path.stem == "stablehlo")
    code, facts = check(capsys, "--device", "browser:webgpu", str(path))
    all_pass(facts, [path])
    assert code == 0
    assert facts["adapter"].endswith("(Chromium)")


# --- What the command says --------------------------------------------------------------------------------------------


def test_every_function_has_its_own_result(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = write(tmp_path, GOOD, BAD, INVALID, REFUSED, WITH_ARGUMENTS)
    code, facts = check(capsys, "--device", "cpu", path)
    assert code == 1
    assert results(facts) == {"good": "passed", "bad": "failed", "invalid": "error", "refused": "refused"}
    why = {item["function"]: item["why"] for item in facts["outcomes"]}
    assert why["bad"].startswith(
        "expectation failed: expected equal within 0.25 + 0·|right|, found 9.0 and 9.5 at [1, 0] of tensor<2x2xf32> "
        "(2 of 4 elements differ)"
    )
    line = (GOOD + BAD + INVALID).split("\n").index("  %x = arith.addf %y, %y : tensor<2xf32>") + 1
    assert why["invalid"].startswith(f"program.mlir:{line}:19: not valid MLIR")
    assert "the model calls the function unknown of a library outside of the model" in why["refused"]


def test_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = write(tmp_path, GOOD, BAD, WITH_ARGUMENTS)
    assert main(["check", "--device", "cpu", path]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{path} on wasm"
    assert "  passed  @good" in lines
    assert any(line.startswith("  failed  @bad: expectation failed: expected equal within 0.25") for line in lines)
    assert any(line.startswith("  skipped @takes: takes arguments: takes(") for line in lines)
    assert lines[-1] == "3 functions: 1 passed, 1 failed, 1 skipped"


def test_modules_divided_by_a_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, facts = check(capsys, "--device", "cpu", write(tmp_path, GOOD, "// -----\n", GOOD.replace("@good", "@again")))
    assert (code, results(facts)) == (0, {"good": "passed", "again": "passed"})


def test_one_function(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = write(tmp_path, GOOD, BAD)
    code, facts = check(capsys, "--device", "cpu", "--function", "good", path)
    assert (code, results(facts)) == (0, {"good": "passed"})
    assert main(["check", "--device", "cpu", "--function", "other", path]) == 2
    assert "--function other: no file has a function of that name" in capsys.readouterr().err


def test_module_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    source, module = write(tmp_path, GOOD), tmp_path / "program.vmfb"
    assert main(["compile", source, "--target", "vmvx", "-o", str(module)]) == 0
    code, facts = check(capsys, "--device", "vmvx", str(module))
    assert (code, results(facts), facts["adapter"]) == (0, {"good": "passed"}, "vmvx")


def test_program_that_expects_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, facts = check(capsys, "--device", "cpu", write(tmp_path, "func.func @empty() {\n  return\n}\n"))
    assert (code, results(facts)) == (1, {"empty": "error"})
    assert facts["outcomes"][0]["why"].startswith("the module expects nothing")


def test_file_without_functions(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, facts = check(capsys, "--device", "cpu", write(tmp_path, "// nothing\n"))
    assert (code, facts["outcomes"][0]["why"]) == (1, "the file holds no program")


def test_stop(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = write(tmp_path, BAD)
    code, facts = check(capsys, "--device", "cpu", "--stop", path, path)
    assert (code, len(facts["outcomes"])) == (1, 1)


def test_missing_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["check", str(tmp_path / "none.mlir")]) == 2
    assert "no such module or model file" in capsys.readouterr().err


# --- Its parts --------------------------------------------------------------------------------------------------------


def test_compiler_that_does_not_answer(tmp_path: Path) -> None:
    source, output = Path(write(tmp_path, GOOD)), tmp_path / "program.vmfb"
    with Compiler(seconds=0.001) as compiler:
        for _ in range(2):  # a new process each time
            with pytest.raises(CrashError, match=r"SIGKILL, as it does after 0.001 s without an answer"):
                compiler.compile(source, output, target="cpu", profile=None)
    with Compiler() as compiler:
        with pytest.raises(CompileError, match="no model file"):
            compiler.compile(tmp_path / "none.mlir", output, target="cpu", profile=None)
        assert compiler.compile(source, output, target="cpu", profile=None) == []
    assert output.stat().st_size > 1000


def test_cutting_keeps_lines_and_what_is_called() -> None:
    text = "\n".join(
        [
            "util.global private @state = 1 : i32",
            "func.func @a() {",
            "  call @helper() : () -> ()",
            "  return",
            "}",
            "func.func private @helper() {",
            "  return",
            "}",
            "func.func @b() { return }",
            'func.func public @"c d"(',
            "    %x: i32) {",
            "  return",
            "}",
        ]
    )
    found = find_functions(text)
    assert [(item.name, item.first_line, item.last_line, item.is_check) for item in found] == [
        ("a", 1, 4, True),
        ("helper", 5, 7, False),
        ("b", 8, 8, True),
        ("c d", 9, 12, False),
    ]
    lines = only(text, "a").split("\n")
    assert lines[:8] == text.split("\n")[:8]
    assert lines[8:] == [""] * 5
    assert [line for line in only(text, "b").split("\n") if line] == [
        "util.global private @state = 1 : i32",
        "func.func @b() { return }",
    ]


def test_parts_keep_their_line_numbers() -> None:
    assert split_modules("a\nb\n// -----\n\n// words\n// -----\nc\n") == ["a\nb", "\n\n\n\n\n\nc\n"]
