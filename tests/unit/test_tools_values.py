"""Tensors on the command line: every form of `--input`, text of results, comparison with expected values."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from webree.errors import UsageError
from webree.tools.values import compare, format_value, parse_input, parse_inputs, write_output


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("4xf32=1,2,3,4", np.array([1, 2, 3, 4], np.float32)),
        ("2x2xi32=[1 2][3 4]", np.array([[1, 2], [3, 4]], np.int32)),
        ("1x3xf32=0.5", np.full((1, 3), 0.5, np.float32)),
        ("2x3xi64", np.zeros((2, 3), np.int64)),
        ("f32=-1.5e3", np.array(-1500, np.float32)),
        ("3xf32=nan,inf,-inf", np.array([np.nan, np.inf, -np.inf], np.float32)),
        ("2xui8=0x10,255", np.array([16, 255], np.uint8)),
        ("3xi1=1,0,true", np.array([True, False, True])),
        ("2xf16=1.5,2", np.array([1.5, 2], np.float16)),
        ("0xf32", np.zeros((0,), np.float32)),
    ],
)
def test_typed_values(word: str, expected: Any) -> None:
    found = parse_input(word)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected, strict=True)


def test_bare_numbers_are_scalars() -> None:
    assert parse_input("42") == 42
    assert parse_input("-0x10") == -16
    assert parse_input("2.5") == 2.5
    assert isinstance(parse_input("42"), int)


def test_files(tmp_path: Path) -> None:
    array = np.random.default_rng().standard_normal((3, 5)).astype(np.float32)
    np.save(tmp_path / "x.npy", array)
    (tmp_path / "x.bin").write_bytes(array.tobytes())
    np.testing.assert_array_equal(parse_input(f"@{tmp_path}/x.npy"), array, strict=True)
    np.testing.assert_array_equal(parse_input(f"3x5xf32=@{tmp_path}/x.bin"), array, strict=True)


def test_random_values_depend_on_the_seed_alone() -> None:
    one, again, other = (parse_input(word) for word in ("64xf32=random:1", "64xf32=random:1", "64xf32=random:2"))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_named_inputs() -> None:
    positional, named = parse_inputs(["2xf32=1", "bytes:2xi32=7", "gpu_0/data_0:3"])
    assert len(positional) == 1
    assert list(named) == ["bytes", "gpu_0/data_0"]
    assert named["gpu_0/data_0"] == 3


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("4xf32=1,2,3", "4 elements (or one for all) are needed, and 3 are given"),
        ("4xf77=1", "there is no element type 'f77'"),
        ("2xi8=1,300", "a value does not fit int8"),
        ("2xi32=1.5,2", "a value does not fit int32"),
        ("hello", "cannot read the value 'hello'"),
        ("@x.txt", "only .npy files tell their shape and type"),
        ("@missing.npy", "cannot read the input missing.npy: No such file or directory"),
        ("2xf32=@missing.bin", "cannot read the input missing.bin"),
        ("2xf32=random:x", "a seed is a whole number"),
    ],
)
def test_what_cannot_be_read_is_said(word: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        parse_input(word)


def test_raw_file_of_the_wrong_size(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(bytes(10))
    with pytest.raises(UsageError, match=re.escape("holds 10 bytes, and 2x2xf32 takes 16")):
        parse_input(f"2x2xf32=@{tmp_path}/x.bin")


def test_a_name_may_be_given_once() -> None:
    with pytest.raises(UsageError, match="there is already an input named 'x'"):
        parse_inputs(["x:1", "x:2"])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.array([[1, 2], [3, 4]], np.int32), "2x2xi32=[1 2][3 4]"),
        (np.array([0.5, 1e-9], np.float32), "2xf32=[0.5 9.99999972e-10]"),
        (np.zeros((1, 1, 2), np.float32), "1x1x2xf32=[[0 0]]"),
        (np.array(7, np.int64), "i64=7"),
        (3, "3"),
    ],
)
def test_text_of_results(value: Any, text: str) -> None:
    assert format_value(value) == text


def test_text_of_a_long_result_leaves_out_the_middle() -> None:
    text = format_value(np.arange(1000, dtype=np.int32), limit=4)
    assert text == "1000xi32=[0 1 … 998 999] (1000 elements)"


def test_text_reads_back_as_the_same_value() -> None:
    array = np.random.default_rng().standard_normal((3, 4)).astype(np.float32)
    np.testing.assert_array_equal(parse_input(format_value(array)), array, strict=True)


def test_written_files_read_back(tmp_path: Path) -> None:
    array = np.random.default_rng().integers(-5, 5, (4, 3)).astype(np.int16)
    assert write_output(f"@{tmp_path}/y.npy", array) is None
    assert write_output(f"@{tmp_path}/y.bin", array) is None
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), array, strict=True)
    assert (tmp_path / "y.bin").read_bytes() == array.tobytes()


def test_comparison() -> None:
    expected = np.array([[1, 2], [3, 4]], np.float32)
    assert compare(expected * np.float32(1 + 1e-6), expected, 1e-4) is None
    found = expected.copy()
    found[1, 0] = 3.5
    assert compare(found, expected, 1e-4) == "1 of 4 elements differ, the first at [1][0]: expected 3.0, found 3.5"
    assert compare(expected.astype(np.float64), expected, 1e-4) == "expected 2x2xf32, found 2x2xf64"
    assert compare(np.array([np.nan]), np.array([1.0]), 1e-4) is not None
