"""Dispatches whose bindings are narrowed to what the kernel uses: no two of them overlap, and the answers are right."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import webree
from webree.hal.device import Device

DEPTH = 6


def chain(rows: str) -> bytes:
    """Products of one shape, the first of which reads the model's input and the last of which writes its output."""
    kind = f"tensor<{rows}x8xf32>"
    lines = [
        f"func.func @main(%x0: {kind}, %w: tensor<8x8xf32>) -> {kind} {{",
        "%zero = arith.constant 0.0 : f32",
        "%c0 = arith.constant 0 : index",
    ]
    if rows == "?":
        lines.append(f"%n = tensor.dim %x0, %c0 : {kind}")
    for n in range(DEPTH):
        lines += [
            f"%empty{n} = tensor.empty({'%n' if rows == '?' else ''}) : {kind}",
            f"%init{n} = linalg.fill ins(%zero : f32) outs(%empty{n} : {kind}) -> {kind}",
            f"%x{n + 1} = linalg.matmul ins(%x{n}, %w : {kind}, tensor<8x8xf32>) outs(%init{n} : {kind}) -> {kind}",
        ]
    return "\n".join([*lines, f"return %x{DEPTH} : {kind} }}"]).encode()


def ranges(text: str) -> list[list[tuple[str, int, int]]]:
    """(resource, offset, end) of every binding of every dispatch."""
    dispatches = re.findall(r"stream\.cmd\.dispatch[^{]*\{\n(.*?)\n\s*\}", text, re.DOTALL)
    found = []
    for body in dispatches:
        rows = re.findall(r"(%\w+)\[%c(\d+)\w* for %c(\d+)\w*\]", body)
        found.append([(name, int(offset), int(offset) + int(length)) for name, offset, length in rows])
    return found


def test_ranges_of_a_dispatch_do_not_overlap() -> None:
    text = webree.compile(chain("8"), compile_to="executable-configurations").decode()
    found = ranges(text)
    assert len(found) == DEPTH
    for bindings in found:
        assert len(bindings) == 3
        for n, (name, start, end) in enumerate(bindings):
            assert end - start == 256
            assert all(other != name or end <= low or high <= start for other, low, high in bindings[:n])


@pytest.mark.native
@pytest.mark.parametrize("rows", ["8", "?"])
def test_answers(device: Device, rows: str) -> None:
    with webree.load(webree.compile(chain(rows)), device=device) as module:
        for _ in range(3):
            x, w = np.random.default_rng().standard_normal((2, 8, 8)).astype("f4") / 2
            expected: Any = x.astype("f8") @ np.linalg.matrix_power(w.astype("f8"), DEPTH)
            np.testing.assert_allclose(module.main(x, w), expected, rtol=1e-4, atol=1e-5)
