"""The conversions between f16 and wider floats that CPU libraries get, against NumPy's: every half, and many others."""

from __future__ import annotations

import numpy as np
import pytest
import wasmtime

from webree.codegen_cpu.functions import FunctionType, function_names, function_type
from webree.codegen_cpu.half import correct_half_conversions
from webree.codegen_cpu.sections import join, split

# The linker's result in small: conversions of the wrong types under the right names, and a loop that converts an array.
LIBRARY = """
(module
  (memory (export "memory") {pages})
  (func ${name} (param {wide}) (result f32) (f32.const 0)))
"""
CALLER = """
(module
  (import "half" "memory" (memory {pages}))
  (import "half" "convert" (func $convert (param {source}) (result {result})))
  (func (export "run") (param $count i32) (local $i i32)
    (loop $next
      ({store} (i32.add (i32.const {output}) (i32.mul (local.get $i) (i32.const {result_size})))
        (call $convert ({load} (i32.mul (local.get $i) (i32.const {source_size})))))
      (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $count))))))
"""
OUTPUT = 1 << 22
PAGES = 2 * OUTPUT >> 16
LOADS = {np.float16: "i32.load16_u", np.float32: "f32.load", np.float64: "f64.load"}
STORES = {np.float16: "i32.store16", np.float32: "f32.store"}
TYPES = {np.float16: "i32", np.float32: "f32", np.float64: "f64"}


def convert(name: str, values: np.ndarray, result: type) -> np.ndarray:
    """What the corrected function gives for each value."""
    source = values.dtype.type
    wide = "f32" if source is np.float16 else TYPES[source]
    sections = split(bytes(wasmtime.wat2wasm(LIBRARY.format(name=name, wide=wide, pages=PAGES))))
    index = function_names(sections)[name]
    assert function_type(sections, index) == FunctionType((wide,), ("f32",))
    correct_half_conversions(sections)
    assert function_type(sections, index) == FunctionType((TYPES[source],), (TYPES[result],))
    exports = next(section for section in sections if section.kind == 7)
    exports.content = b"\2\6memory\2\0\7convert\0" + bytes([index])
    store = wasmtime.Store()
    library = wasmtime.Instance(store, wasmtime.Module(store.engine, join(sections)), [])
    memory = library.exports(store)["memory"]
    text = CALLER.format(
        pages=PAGES,
        source=TYPES[source],
        result=TYPES[result],
        load=LOADS[source],
        store=STORES[result],
        output=OUTPUT,
        source_size=np.dtype(source).itemsize,
        result_size=np.dtype(result).itemsize,
    )
    module = wasmtime.Module(store.engine, text)
    caller = wasmtime.Instance(store, module, [memory, library.exports(store)["convert"]])
    memory.write(store, values.tobytes(), 0)
    caller.exports(store)["run"](store, len(values))
    size = np.dtype(result).itemsize * len(values)
    return np.frombuffer(bytes(memory.read(store, OUTPUT, OUTPUT + size)), result)


def same(found: np.ndarray, expected: np.ndarray) -> bool:
    """Equal in every bit; any NaN is as good as another."""
    nans = np.isnan(expected)
    bits = np.dtype(f"u{found.dtype.itemsize}")
    return bool((np.isnan(found) == nans).all() and (found.view(bits)[~nans] == expected.view(bits)[~nans]).all())


def test_every_half_extended() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    assert same(convert("__extendhfsf2", halves, np.float32), halves.astype(np.float32))


@pytest.mark.parametrize(("name", "wide"), [("__truncsfhf2", np.float32), ("__truncdfhf2", np.float64)])
def test_truncated(name: str, wide: type) -> None:
    """Every half, the middles between neighbours, and a little above and below them; and random bits."""
    seed = int(np.random.SeedSequence().entropy) % 2**32
    print("seed", seed)
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(wide)
    middles = np.append((halves[1:] + halves[:-1]) / 2, wide(65520))
    values = np.concatenate((halves, middles, np.nextafter(middles, wide(0)), np.nextafter(middles, wide(np.inf))))
    bits = np.random.default_rng(seed).integers(0, 256, (100_000, np.dtype(wide).itemsize), np.uint8)
    special = np.array([np.inf, np.nan, 1e30, 65504, 65519.996, 65536, 0, 1e-45, 2.0**-25], wide)
    values = np.concatenate((values, -values, bits.view(wide).ravel(), special, -special)).astype(wide)
    with np.errstate(all="ignore"):
        assert same(convert(name, values, np.float16), values.astype(np.float16))
