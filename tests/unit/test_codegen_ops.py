"""One table of ops: each is wrapped into a kernel, translated to WGSL, and run; NumPy says what must come out.

Integer inputs mix edge cases with fresh random ones, and must match exactly. Float inputs mix the special values
(NaN, infinities, both zeros) where the op defines them; tolerances are in ULP of f32.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tests.conftest import ADAPTERS
from tests.spirv_kernels import kernel_text, run_wgsl, translate_text, wgpu_device

pytestmark = pytest.mark.native

SEED = int(os.environ.get("WEBREE_SEED") or secrets.randbelow(1 << 31))
_INT_EDGES = [0, 1, -1, 2, -2, 31, 32, 0x7FFFFFFF, -0x80000000, -0x7FFFFFFF, 0xFFFF, 0x10000, -0x10000, 0x55555555]
_FLOAT_EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, np.nan, np.inf, -np.inf, 3.4028235e38, -3.4028235e38]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Case:
    """`body` computes %r from %a, %b, ...; `reference` does the same on arrays, already of the result's dtype."""

    body: str
    operands: str
    result: str
    reference: Callable[..., Array]
    ulp: float = 0
    low: float | None = None
    high: float = 0.0
    where: Callable[..., Array] | None = None


def u(x: Array) -> Array:
    return x.view(np.uint32)


def i(x: Array) -> Array:
    return np.asarray(x).astype(np.uint32).view(np.int32)


def binary(op: str, reference: Callable[..., Array], kind: str = "i32", **options: Any) -> Case:
    return Case(f"%r = spirv.{op} %a, %b : {kind}", f"{kind},{kind}", kind, reference, **options)


def unary(op: str, reference: Callable[..., Array], kind: str = "i32", **options: Any) -> Case:
    return Case(f"%r = spirv.{op} %a : {kind}", kind, kind, reference, **options)


def predicate(op: str, reference: Callable[..., Array], kind: str, count: int = 2) -> Case:
    names = "%a, %b" if count == 2 else "%a"
    body = f"%c0 = spirv.{op} {names} : {kind}\n%r = spirv.Select %c0, %one, %zero : i1, i32"
    return Case(body, ",".join([kind] * count), "i32", lambda *x: reference(*x).astype(np.int32))


def extended(op: str, member: int, reference: Callable[..., Array]) -> Case:
    struct = "!spirv.struct<(i32, i32)>"
    body = f"%s = spirv.{op} %a, %b : {struct}\n%r = spirv.CompositeExtract %s[{member} : i32] : {struct}"
    return Case(body, "i32,i32", "i32", reference)


def shift(op: str, reference: Callable[..., Array]) -> Case:
    return Case(f"%r = spirv.{op} %a, %b : i32, i32", "i32,i32", "i32", reference)


def bit_field(op: str, operands: str, reference: Callable[..., Array]) -> Case:
    """Nine bits from bit 5 on."""
    names = ", ".join(f"%{name}" for name in "ab"[: operands.count("i32")])
    body = f"""%o = spirv.Constant 5 : i32
        %n = spirv.Constant 9 : i32
        %r = spirv.{op} {names}, %o, %n : {operands}, i32, i32"""
    return Case(body.replace("i32,i32,", "i32,"), operands, "i32", reference)


def convert(op: str, source: str, result: str, reference: Callable[..., Array], **options: Any) -> Case:
    return Case(f"%r = spirv.{op} %a : {source} to {result}", source, result, reference, **options)


def packed_dot(op: str, byte: type) -> Case:
    def reference(a: Array, b: Array) -> Array:
        left, right = (x.view(byte).reshape(-1, 4).astype(np.int32) for x in (a, b))
        return (left * right).sum(1, dtype=np.int32)

    body = f"%r = spirv.{op} %a, %b, <PackedVectorFormat4x8Bit> : i32 -> i32"
    return Case(body, "i32,i32", "i32", reference)


def amount(b: Array) -> Array:
    """Amounts of 32 and more, as u32, shift everything out."""
    return np.minimum(u(b), 63).astype(np.uint64)


def round_away(a: Array) -> Array:
    wide = a.astype(np.float64)
    return np.copysign(np.floor(np.abs(wide) + 0.5), wide).astype(np.float32)


def halves(a: Array) -> Array:
    return a.view(np.float16).reshape(-1, 2).astype(np.float32)


def normal_halves(a: Array) -> Array:
    return (np.isfinite(halves(a)) & (np.abs(halves(a)) > 1e-4)).all(1)


def float_to_unsigned(a: Array) -> Array:
    wide = np.trunc(np.nan_to_num(a).astype(np.float64))
    return np.clip(wide, 0, 2**32 - 1).astype(np.uint32).view(np.int32)


def truncated_division(a: Array, b: Array) -> Array:
    a64, b64 = a.astype(np.int64), np.where(b == 0, 1, b).astype(np.int64)
    quotient = np.sign(a64) * np.sign(b64) * (np.abs(a64) // np.abs(b64))
    return quotient.astype(np.uint64).astype(np.uint32).view(np.int32)


def remainder(a: Array, b: Array) -> Array:
    a64, b64 = a.astype(np.int64), b.astype(np.int64)
    safe = np.where(b64 == 0, 1, b64)
    return np.where(b64 == 0, 0, np.sign(a64) * (np.abs(a64) % np.abs(safe))).astype(np.int32)


def floored_modulo(a: Array, b: Array) -> Array:
    a64, b64 = a.astype(np.int64), b.astype(np.int64)
    return np.where(b64 == 0, 0, np.mod(a64, np.where(b64 == 0, 1, b64))).astype(np.int32)


def first_leading(a: Array) -> Array:
    return np.array([int(x).bit_length() - 1 for x in u(a)], np.int32)


def first_trailing(a: Array) -> Array:
    return np.array([(int(x) & -int(x)).bit_length() - 1 for x in u(a)], np.int32)


def first_leading_signed(a: Array) -> Array:
    return np.array([int(x if x >= 0 else ~x).bit_length() - 1 for x in a.tolist()], np.int32)


def saturated(a: Array) -> Array:
    return np.clip(np.trunc(np.nan_to_num(a, nan=0.0).astype(np.float64)), -(2**31), 2**31 - 1).astype(np.int32)


def nonzero(*x: Array) -> Array:
    return x[1] != 0


def finite(*x: Array) -> Array:
    return np.isfinite(x).all(axis=0)


def quotient_in_range(a: Array, b: Array) -> Array:
    return finite(a, b) & (b != 0) & (np.abs(a) < 1e38)


def no_near_multiple(a: Array, b: Array) -> Array:
    """Where the quotient comes near an integer, the remainder jumps, or cancellation leaves few digits of it."""
    return np.abs(a / b - np.rint(a / b)) > 0.02


def not_nan(*x: Array) -> Array:
    return ~np.isnan(x).any(axis=0)


INTEGER_CASES = {
    "IAdd": binary("IAdd", lambda a, b: a + b),
    "ISub": binary("ISub", lambda a, b: a - b),
    "IMul": binary("IMul", lambda a, b: a * b),
    "SDiv": binary("SDiv", truncated_division, where=nonzero),
    "SRem": binary("SRem", remainder),
    "SMod": binary("SMod", floored_modulo, where=nonzero),
    "UDiv": binary("UDiv", lambda a, b: i(u(a) // np.maximum(u(b), 1)), where=nonzero),
    "UMod": binary("UMod", lambda a, b: i(u(a) % np.maximum(u(b), 1)), where=nonzero),
    "BitwiseAnd": binary("BitwiseAnd", lambda a, b: a & b),
    "BitwiseOr": binary("BitwiseOr", lambda a, b: a | b),
    "BitwiseXor": binary("BitwiseXor", lambda a, b: a ^ b),
    "Not": unary("Not", lambda a: ~a),
    "SNegate": unary("SNegate", lambda a: -a),
    "ShiftLeftLogical": shift("ShiftLeftLogical", lambda a, b: i(u(a).astype(np.uint64) << amount(b))),
    "ShiftRightLogical": shift("ShiftRightLogical", lambda a, b: i(u(a).astype(np.uint64) >> amount(b))),
    "ShiftRightArithmetic": shift("ShiftRightArithmetic", lambda a, b: a >> np.minimum(u(b), 31).astype(np.int32)),
    "BitCount": unary("BitCount", lambda a: np.array([int(x).bit_count() for x in u(a)], np.int32)),
    "BitReverse": unary("BitReverse", lambda a: i([int(f"{x:032b}"[::-1], 2) for x in u(a)])),
    "BitFieldInsert": bit_field("BitFieldInsert", "i32,i32", lambda a, b: (a & ~(511 << 5)) | ((b & 511) << 5)),
    "BitFieldSExtract": bit_field("BitFieldSExtract", "i32", lambda a: (a << 18) >> 23),
    "BitFieldUExtract": bit_field("BitFieldUExtract", "i32", lambda a: (a >> 5) & 511),
    "GL.SAbs": unary("GL.SAbs", np.abs),
    "GL.SSign": unary("GL.SSign", np.sign),
    "GL.SMax": binary("GL.SMax", np.maximum),
    "GL.SMin": binary("GL.SMin", np.minimum),
    "GL.UMax": binary("GL.UMax", lambda a, b: i(np.maximum(u(a), u(b)))),
    "GL.UMin": binary("GL.UMin", lambda a, b: i(np.minimum(u(a), u(b)))),
    "GL.FindUMsb": unary("GL.FindUMsb", first_leading),
    "GL.FindSMsb": unary("GL.FindSMsb", first_leading_signed),
    "GL.FindILsb": unary("GL.FindILsb", first_trailing),
    "GL.SClamp": Case(
        "%l = spirv.Constant -5 : i32\n%r = spirv.GL.SClamp %a, %l, %b : i32",
        "i32,i32",
        "i32",
        lambda a, b: np.minimum(np.maximum(a, -5), b),
        where=lambda a, b: b >= -5,
    ),
    "IAddCarry low": extended("IAddCarry", 0, lambda a, b: a + b),
    "IAddCarry carry": extended("IAddCarry", 1, lambda a, b: (u(a).astype(np.uint64) + u(b) >> 32).astype(np.int32)),
    "ISubBorrow low": extended("ISubBorrow", 0, lambda a, b: a - b),
    "ISubBorrow borrow": extended("ISubBorrow", 1, lambda a, b: (u(a) < u(b)).astype(np.int32)),
    "UMulExtended low": extended("UMulExtended", 0, lambda a, b: a * b),
    "UMulExtended high": extended("UMulExtended", 1, lambda a, b: i(u(a).astype(np.uint64) * u(b) >> 32)),
    "SMulExtended high": extended("SMulExtended", 1, lambda a, b: (a.astype(np.int64) * b >> 32).astype(np.int32)),
    "SDot": packed_dot("SDot", np.int8),
    "UDot": packed_dot("UDot", np.uint8),
}
INTEGER_PREDICATES: dict[str, Callable[..., Array]] = {
    "IEqual": np.equal,
    "INotEqual": np.not_equal,
    "SLessThan": np.less,
    "SLessThanEqual": np.less_equal,
    "SGreaterThan": np.greater,
    "SGreaterThanEqual": np.greater_equal,
    "ULessThan": lambda a, b: u(a) < u(b),
    "ULessThanEqual": lambda a, b: u(a) <= u(b),
    "UGreaterThan": lambda a, b: u(a) > u(b),
    "UGreaterThanEqual": lambda a, b: u(a) >= u(b),
}
FLOAT_PREDICATES: dict[str, Callable[..., Array]] = {
    "FOrdEqual": np.equal,
    "FOrdLessThan": np.less,
    "FOrdLessThanEqual": np.less_equal,
    "FOrdGreaterThan": np.greater,
    "FOrdGreaterThanEqual": np.greater_equal,
    "FOrdNotEqual": lambda a, b: (a < b) | (a > b),
    "FUnordEqual": lambda a, b: ~((a < b) | (a > b)),
    "FUnordNotEqual": np.not_equal,
    "FUnordLessThan": lambda a, b: ~(a >= b),
    "FUnordLessThanEqual": lambda a, b: ~(a > b),
    "FUnordGreaterThan": lambda a, b: ~(a <= b),
    "FUnordGreaterThanEqual": lambda a, b: ~(a < b),
    "Ordered": lambda a, b: ~(np.isnan(a) | np.isnan(b)),
    "Unordered": lambda a, b: np.isnan(a) | np.isnan(b),
}
# Tolerances follow WGSL's accuracy table, widened where its bound is absolute.
FLOAT_CASES = {
    "FAdd": binary("FAdd", np.add, "f32"),
    "FSub": binary("FSub", np.subtract, "f32"),
    "FMul": binary("FMul", np.multiply, "f32"),
    "FDiv": binary("FDiv", np.divide, "f32", ulp=2.5, where=quotient_in_range),
    "FRem": binary("FRem", np.fmod, "f32", ulp=1024, low=0.5, high=4.0, where=no_near_multiple),
    "FRem by infinity": Case(
        "%i = spirv.Constant 0x7F800000 : f32\n%r = spirv.FRem %a, %i : f32", "f32", "f32", np.copy, where=finite
    ),
    "FMod": binary("FMod", np.mod, "f32", ulp=1024, low=0.5, high=4.0, where=no_near_multiple),
    "FNegate": unary("FNegate", np.negative, "f32"),
    "GL.FAbs": unary("GL.FAbs", np.abs, "f32"),
    "GL.FSign": unary("GL.FSign", np.sign, "f32", where=not_nan),
    "GL.FMax": binary("GL.FMax", np.maximum, "f32", where=not_nan),
    "GL.FMin": binary("GL.FMin", np.minimum, "f32", where=not_nan),
    "GL.NMax": binary("GL.NMax", np.fmax, "f32"),
    "GL.NMin": binary("GL.NMin", np.fmin, "f32"),
    "GL.Floor": unary("GL.Floor", np.floor, "f32"),
    "GL.Ceil": unary("GL.Ceil", np.ceil, "f32"),
    "GL.Trunc": unary("GL.Trunc", np.trunc, "f32"),
    "GL.RoundEven": unary("GL.RoundEven", np.rint, "f32"),
    "GL.Round": unary("GL.Round", round_away, "f32", where=finite),
    "GL.Fma": Case(
        "%r = spirv.GL.Fma %a, %b, %a : f32",
        "f32,f32",
        "f32",
        lambda a, b: (a.astype(np.float64) * b + a).astype(np.float32),
        ulp=4,
        low=0.1,
        high=9.0,
    ),
    "GL.Sqrt": unary("GL.Sqrt", np.sqrt, "f32", ulp=4, low=0.0, high=1e6),
    "GL.InverseSqrt": unary("GL.InverseSqrt", lambda a: 1 / np.sqrt(a), "f32", ulp=4, low=1e-3, high=1e6),
    "GL.Exp": unary("GL.Exp", np.exp, "f32", ulp=160, low=-80.0, high=80.0),
    "GL.Log": unary("GL.Log", np.log, "f32", ulp=16, low=2.0, high=1e6),
    "GL.Sin": unary("GL.Sin", np.sin, "f32", ulp=8192, low=0.2, high=2.9),
    "GL.Cos": unary("GL.Cos", np.cos, "f32", ulp=8192, low=-1.2, high=1.2),
    "GL.Tan": unary("GL.Tan", np.tan, "f32", ulp=8192, low=0.2, high=1.2),
    "GL.Asin": unary("GL.Asin", np.arcsin, "f32", ulp=16384, low=0.1, high=0.9),
    "GL.Acos": unary("GL.Acos", np.arccos, "f32", ulp=16384, low=-0.9, high=0.9),
    "GL.Atan": unary("GL.Atan", np.arctan, "f32", ulp=8192, low=0.1, high=50.0),
    "GL.Sinh": unary("GL.Sinh", np.sinh, "f32", ulp=1024, low=0.5, high=20.0),
    "GL.Cosh": unary("GL.Cosh", np.cosh, "f32", ulp=1024, low=-20.0, high=20.0),
    "GL.Asinh": unary("GL.Asinh", np.arcsinh, "f32", ulp=1024, low=1.0, high=1e3),
    "GL.Acosh": unary("GL.Acosh", np.arccosh, "f32", ulp=4096, low=2.0, high=1e3),
    "GL.Atanh": unary("GL.Atanh", np.arctanh, "f32", ulp=4096, low=0.2, high=0.9),
    "GL.Tanh": unary("GL.Tanh", np.tanh, "f32", ulp=4096, low=0.1, high=200.0),
    "GL.Tanh special": unary("GL.Tanh", np.tanh, "f32", ulp=4096, where=lambda a: ~(np.abs(a) < 0.4)),
    "GL.Pow": binary("GL.Pow", np.power, "f32", ulp=512, low=0.5, high=8.0),
    "GL.Pow zero exponent": Case(
        "%y = spirv.Constant 0.0 : f32\n%r = spirv.GL.Pow %a, %y : f32", "f32", "f32", np.ones_like
    ),
    "GL.FMix": Case(
        "%h = spirv.Constant 0.25 : f32\n%r = spirv.GL.FMix %a : f32, %b : f32, %h : f32 -> f32",
        "f32,f32",
        "f32",
        lambda a, b: a * np.float32(0.75) + b * np.float32(0.25),
        ulp=4,
        low=1.0,
        high=9.0,
    ),
    "GL.FClamp": Case(
        "%l = spirv.Constant -2.0 : f32\n%h = spirv.Constant 2.0 : f32\n%r = spirv.GL.FClamp %a, %l, %h : f32",
        "f32",
        "f32",
        lambda a: np.clip(a, -2, 2),
        where=not_nan,
    ),
    "GL.Ldexp": Case(
        "%r = spirv.GL.Ldexp %a : f32, %b : i32 -> f32",
        "f32,i32",
        "f32",
        np.ldexp,
        where=lambda a, b: (np.abs(b) < 40) & (np.abs(a) < 1e20) & (np.abs(a) > 1e-20),
    ),
    "ConvertFToS": convert("ConvertFToS", "f32", "i32", saturated, where=lambda a: np.abs(a) < 2.0**31),
    "ConvertFToU": convert("ConvertFToU", "f32", "i32", float_to_unsigned, where=lambda a: a < 2.0**32),
    "ConvertSToF": convert("ConvertSToF", "i32", "f32", lambda a: a.astype(np.float32), ulp=1),
    "ConvertUToF": convert("ConvertUToF", "i32", "f32", lambda a: u(a).astype(np.float32), ulp=1),
    "Bitcast": convert("Bitcast", "i32", "f32", lambda a: a.view(np.float32)),
    "Select": Case(
        "%c0 = spirv.FOrdLessThan %a, %b : f32\n%r = spirv.Select %c0, %a, %b : i1, f32",
        "f32,f32",
        "f32",
        lambda a, b: np.where(a < b, a, b),
    ),
    "GL.UnpackHalf2x16": Case(
        """%h = spirv.GL.UnpackHalf2x16 %a : i32 -> vector<2xf32>
        %x = spirv.CompositeExtract %h[0 : i32] : vector<2xf32>
        %y = spirv.CompositeExtract %h[1 : i32] : vector<2xf32>
        %r = spirv.FSub %x, %y : f32""",
        "i32",
        "f32",
        lambda a: halves(a)[:, 0] - halves(a)[:, 1],
        where=normal_halves,
    ),
}
CASES = {
    **INTEGER_CASES,
    **{name: predicate(name, reference, "i32") for name, reference in INTEGER_PREDICATES.items()},
    **{name: predicate(name, reference, "f32") for name, reference in FLOAT_PREDICATES.items()},
    "IsNan": predicate("IsNan", np.isnan, "f32", 1),
    "IsInf": predicate("IsInf", np.isinf, "f32", 1),
    **FLOAT_CASES,
}

# Values that no literal says safely (NaN, infinities, -0, denormals) and the ends of the range, by their bits.
CONSTANTS = [
    *(0x7FC00000, 0x7F800000, 0xFF800000, 0x80000000, 0x00000001, 0x007FFFFF),
    *(0x00800000, 0x7F7FFFFF, 0xFF7FFFFF, 0x3DCCCCCD, 0x33D6BF95),
]


@pytest.fixture(params=sorted(ADAPTERS), scope="module")
def device(request: pytest.FixtureRequest) -> Any:
    part, _ = ADAPTERS[request.param]
    return wgpu_device(part)


def _inputs(case: Case) -> list[Array]:
    rng = np.random.default_rng(SEED)
    kinds = case.operands.split(",")
    if case.low is not None:
        return [rng.uniform(case.low, case.high, 200).astype(np.float32) for _ in kinds]
    edges = {"i32": np.array(_INT_EDGES, np.int64).astype(np.int32), "f32": np.array(_FLOAT_EDGES, np.float32)}
    size = len(_INT_EDGES)
    columns = []
    for position, kind in enumerate(kinds):
        # Every edge meets every other.
        mixed = np.tile(edges[kind], size) if position else np.repeat(edges[kind], size)
        random = rng.integers(-(2**31), 2**31, 60).astype(np.int32)
        small = rng.integers(-40, 40, 60).astype(np.int32)
        if kind == "f32":
            columns.append(np.concatenate([mixed, rng.normal(0, 100, 120).astype(np.float32)]))
        else:
            columns.append(np.concatenate([mixed, random, small]))
    return columns


@pytest.mark.parametrize("name", CASES)
def test_op(name: str, device: Any) -> None:
    case = CASES[name]
    inputs = _inputs(case)
    with np.errstate(all="ignore"):
        expected = case.reference(*inputs)
        keep = case.where(*inputs) if case.where else np.ones(len(inputs[0]), bool)
    shader = translate_text(kernel_text(case.body, case.operands.split(","), case.result))
    found = run_wgsl(device, shader, [*inputs, np.zeros_like(expected)], (len(inputs[0]), 1, 1))[-1]
    assert expected.dtype == (np.int32 if case.result == "i32" else np.float32)
    wrong = keep & ~_same(found, expected, case.ulp)
    lines = [f"{[x[k] for x in inputs]}: {found[k]!r}, expected {expected[k]!r}" for k in np.flatnonzero(wrong)[:5]]
    assert not wrong.any(), f"seed {SEED}, {wrong.sum()} of {keep.sum()} differ:\n" + "\n".join(lines) + shader.source


def _same(found: Array, expected: Array, ulp: float) -> Array:
    if found.dtype == np.int32:
        return np.asarray(found == expected)
    both_nan = np.isnan(found) & np.isnan(expected)
    with np.errstate(all="ignore"):
        near = np.abs(found - expected) <= ulp * np.spacing(np.abs(expected))
    # The sign of zero is not compared: WGSL leaves it open. Denormals may be flushed to zero.
    tiny = (np.abs(expected) < 2.0**-126) & (np.abs(found) < 2.0**-126)
    return np.asarray(both_nan | (found == expected) | near | tiny)


@pytest.mark.parametrize("bits", CONSTANTS, ids=hex)
def test_constant_keeps_its_bits(bits: int, device: Any) -> None:
    value = f"%k = spirv.Constant {bits:#010x} : f32"
    shader = translate_text(kernel_text(f"{value}\n%r = spirv.Bitcast %k : f32 to i32", ["i32"], "i32"))
    (_, found) = run_wgsl(device, shader, [np.zeros(1, np.int32), np.zeros(1, np.int32)])
    assert found.view(np.uint32)[0] == bits, shader.source
