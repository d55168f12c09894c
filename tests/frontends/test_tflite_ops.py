"""Every operator of TensorFlow Lite that the front end lowers, against Google's interpreter, with fresh inputs.

Rows of one family go into one model, so that it is compiled once per device: each row has inputs and outputs of its
own. Floats are compared in relation to the largest element; stored numbers of quantised results may differ by one step,
as they do between the interpreter's own kernels.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import webree
from tests.conftest import Machine
from tests.frontends.tflite_models import ON_DEVICES, Builder, interpret
from tests.frontends.tflite_rows import ROWS, Row
from webree.compiler.frontends.tflite_graph import SUPPORTED

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "tflite.md"

Tensor = np.ndarray[Any, Any]
Random = np.random.Generator
_ELSEWHERE = {
    "CALL_ONCE",
    "VAR_HANDLE",
    "READ_VARIABLE",
    "ASSIGN_VARIABLE",
    "IF",
    "WHILE",
    "DENSIFY",
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
    "RFFT2D",
    "REAL",
    "IMAG",
    "COMPLEX_ABS",
}
"""Tested in test_tflite.py; custom ones and DENSIFY by the real models."""


def _model(rows: list[Row], random: Random) -> tuple[bytes, list[Tensor], list[Row]]:
    """The file, its inputs, and the row of each output. Results' shapes are the interpreter's."""
    shapes: list[list[int]] = []
    for attempt in range(2):
        builder, inputs, owners = Builder(), [], []
        generator = np.random.default_rng(random.bit_generator.seed_seq.entropy)  # type: ignore[attr-defined]
        for number, row in enumerate(rows):
            places = []
            for position, arg in enumerate(row.args):
                data = arg.make(generator)
                if arg.constant:
                    places.append(builder.constant(data, arg.quantized))
                    continue
                name = f"{row.op}_{number}_{position}"
                places.append(builder.input(name, data.shape, data.dtype.name, quantized=arg.quantized))
                inputs.append(data)
            outputs = []
            for part, (dtype, how) in enumerate(row.results):
                shape = shapes[len(owners)] if attempt else []
                outputs.append(builder.tensor(f"{row.op}_{number}_out_{part}", shape, dtype, quantized=how))
                owners.append(row)
            builder.operator(row.op, places, outputs, row.options, row.version)
            builder.graph.outputs.extend(outputs)
        data = builder.build()
        if not attempt:
            shapes = [[*found.shape] for found in interpret(data, inputs)[0]]
    return data, inputs, owners


def _error(found: Tensor, expected: Tensor, row: Row) -> str | None:
    """What is wrong, or None."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return f"{found.dtype}{found.shape} instead of {expected.dtype}{expected.shape}"
    if found.dtype.kind in "fb":
        difference = np.abs(found.astype(np.float64) - expected.astype(np.float64)).max(initial=0)
        limit = row.tolerance * max(1.0, float(np.abs(expected.astype(np.float64)).max(initial=0)))
    else:
        difference = np.abs(found.astype(np.int64) - expected.astype(np.int64)).max(initial=0)
        limit = 1 if any(how is not None for _, how in row.results) else 0
    return (
        None if difference <= limit else f"off by {difference:.3g}, allowed {limit:.3g}: {found} instead of {expected}"
    )


@pytest.mark.parametrize("family", ROWS)
@ON_DEVICES
def test_agrees_with_the_interpreter(family: str, machine: Machine, seed: int) -> None:
    data, inputs, rows = _model(ROWS[family], np.random.default_rng(seed))
    (expected,) = interpret(data, inputs)
    with webree.load(
        webree.compile(data, target=machine.target, profile=machine.profile), device=machine.device
    ) as module:
        results = module.main(*inputs)
    wrong = [
        f"{row.op} {[value.shape for value in (found, theirs)]}: {message}"
        for found, theirs, row in zip(results, expected, rows, strict=True)
        if (message := _error(found, theirs, row))
    ]
    assert not wrong, f"WEBREE_SEED={seed}\n" + "\n".join(wrong)


def test_every_operator_has_a_row() -> None:
    rows = {row.op for family in ROWS.values() for row in family}
    builtin = {name for name in SUPPORTED if name.isupper()}
    assert builtin - rows == _ELSEWHERE
    described = set(
        re.findall(r"[\w:]+", DOCUMENT.read_text().partition("## Operators")[2].partition("Anything else")[0])
    )
    assert not set(SUPPORTED) - described, "docs/tflite.md lists what is supported"
