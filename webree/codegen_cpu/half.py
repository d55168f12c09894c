"""Conversions between f16 and wider floats, as WebAssembly libraries need them.

Enters: a library's sections. Leaves: the same with right bodies of `__extendhfsf2`, `__truncsfhf2` and `__truncdfhf2`.
LLVM calls them with the half-precision number in an i32; the library that the compiler links in takes and gives it in
an f32, so that no engine accepts the result. The bodies here hold for all numbers: subnormal ones, infinities, NaN;
rounding is to the nearest, to even in the middle, as IEEE 754 says.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from webree.codegen_cpu.functions import FunctionType, function_names, function_type, replace_function
from webree.codegen_cpu.sections import Section

__all__ = ["correct_half_conversions"]

_EXTEND = FunctionType(("i32",), ("f32",))
_TRUNCATE = FunctionType(("f32",), ("i32",))
_TRUNCATE_64 = FunctionType(("f64",), ("i32",))


def correct_half_conversions(sections: Sequence[Section]) -> None:
    """Replace the conversions that a library holds."""
    names = function_names(sections)
    for name, (kind, body) in _BODIES.items():
        if name in names and function_type(sections, names[name]) != kind:
            replace_function(sections, names[name], kind, body)


def _signed(value: int, width: int) -> bytes:
    """Signed LEB128 of a bit pattern."""
    value -= (value >> (width - 1)) << width
    encoded = bytearray()
    while not -64 <= value < 64:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value & 0x7F)
    return bytes(encoded)


def _i32(value: int) -> bytes:
    return b"\x41" + _signed(value, 32)


def _i64(value: int) -> bytes:
    return b"\x42" + _signed(value, 64)


def _f32(bits: int) -> bytes:
    return b"\x43" + struct.pack("<I", bits)


def _f64(bits: int) -> bytes:
    return b"\x44" + struct.pack("<Q", bits)


def _get(local: int) -> bytes:
    return bytes([0x20, local])


def _tee(local: int) -> bytes:
    return bytes([0x22, local])


_AND, _OR, _XOR, _ADD, _SUB, _SHL, _SHR_U = b"\x71", b"\x72", b"\x73", b"\x6a", b"\x6b", b"\x74", b"\x76"
_LT_U, _GT_U, _GE_U, _GE_F32 = b"\x49", b"\x4b", b"\x4f", b"\x60"
_ADD_F32, _MUL_F32 = b"\x92", b"\x94"
_AND_64, _ADD_64, _SUB_64, _SHR_U_64, _WRAP = b"\x83", b"\x7c", b"\x7d", b"\x88", b"\xa7"
_LT_U_64, _GT_U_64, _GE_U_64, _ADD_F64 = b"\x54", b"\x56", b"\x5a", b"\xa0"
_TO_F32, _TO_I32, _TO_F64, _TO_I64 = b"\xbe", b"\xbc", b"\xbf", b"\xbd"  # reinterpretations of the bits
_SELECT, _END = b"\x1b", b"\x0b"
_IF_I32, _ELSE = b"\x04\x7f", b"\x05"

_LARGEST_PLUS_ONE = 0x47800000  # 65536.0, whose half is infinite
_SMALLEST_NORMAL = 0x38800000  # 2 to the -14
_INFINITY = 0x7F800000

# The exponent and mantissa moved into an f32's place are the number times 2 to the -112, subnormal or not.
_EXTEND_BODY = b"".join(
    (
        b"\x01\x01\x7d",  # local 1: the magnitude as f32
        _get(0) + _i32(0x7FFF) + _AND + _i32(13) + _SHL + _TO_F32,
        _f32(0x77800000) + _MUL_F32 + _tee(1) + _TO_I32,
        _i32(_INFINITY) + _i32(0) + _get(1) + _f32(_LARGEST_PLUS_ONE) + _GE_F32 + _SELECT + _OR,
        _get(0) + _i32(0x8000) + _AND + _i32(16) + _SHL + _OR + _TO_F32 + _END,
    )
)

_TRUNCATE_BODY = b"".join(
    (
        b"\x01\x01\x7f",  # local 1: the magnitude's bits
        _get(0) + _TO_I32 + _i32(0x7FFFFFFF) + _AND + _tee(1) + _i32(_LARGEST_PLUS_ONE) + _GE_U + _IF_I32,
        _i32(0x7E00) + _i32(0x7C00) + _get(1) + _i32(_INFINITY) + _GT_U + _SELECT + _ELSE,
        _get(1) + _i32(_SMALLEST_NORMAL) + _LT_U + _IF_I32,
        # Adding 0.5 makes the unit of the last place 2 to the -24, that of subnormal halves.
        _get(1) + _TO_F32 + _f32(0x3F000000) + _ADD_F32 + _TO_I32 + _i32(0x3F000000) + _SUB + _ELSE,
        # The exponent's bias changes by 112; half a unit less a bit is added, and the bit if the last place is odd.
        _get(1) + _i32(0xC8000FFF) + _ADD + _get(1) + _i32(13) + _SHR_U + _i32(1) + _AND + _ADD + _i32(13) + _SHR_U,
        _END + _END + _get(0) + _TO_I32 + _i32(16) + _SHR_U + _i32(0x8000) + _AND + _OR + _END,
    )
)

# The same in 64 bits: the mantissa is 42 bits longer than a half's, the bias larger by 1008.
_UNIT_64 = 0x41B0000000000000  # 2 to the 28, whose last place is 2 to the -24
_TRUNCATE_64_BODY = b"".join(
    (
        b"\x01\x01\x7e",  # local 1: the magnitude's bits
        _get(0) + _TO_I64 + _i64(0x7FFFFFFFFFFFFFFF) + _AND_64 + _tee(1) + _i64(0x40F0000000000000) + _GE_U_64,
        _IF_I32 + _i32(0x7E00) + _i32(0x7C00) + _get(1) + _i64(0x7FF0000000000000) + _GT_U_64 + _SELECT + _ELSE,
        _get(1) + _i64(0x3F10000000000000) + _LT_U_64 + _IF_I32,
        _get(1) + _TO_F64 + _f64(_UNIT_64) + _ADD_F64 + _TO_I64 + _i64(_UNIT_64) + _SUB_64 + _WRAP + _ELSE,
        _get(1) + _i64((-1008 << 52) + (1 << 41) - 1 & 0xFFFFFFFFFFFFFFFF) + _ADD_64,
        _get(1) + _i64(42) + _SHR_U_64 + _i64(1) + _AND_64 + _ADD_64 + _i64(42) + _SHR_U_64 + _WRAP,
        _END + _END + _get(0) + _TO_I64 + _i64(48) + _SHR_U_64 + _WRAP + _i32(0x8000) + _AND + _OR + _END,
    )
)

_BODIES = {
    "__extendhfsf2": (_EXTEND, _EXTEND_BODY),
    "__truncsfhf2": (_TRUNCATE, _TRUNCATE_BODY),
    "__truncdfhf2": (_TRUNCATE_64, _TRUNCATE_64_BODY),
}
