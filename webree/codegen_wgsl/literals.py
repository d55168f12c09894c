"""Constants -> WGSL literals that every compiler reads back to the same bits.

Integers and f32 stand without a suffix where WGSL's abstract numbers convert exactly; f32 uses the shortest decimal
that names the value. What a literal cannot say (NaN, infinities, which WGSL rejects in constant expressions; f32
denormals, which a compiler may flush when it folds) goes through the polyfill `f32_from_bits`, that is, through
values that exist at run time only.
Spec: https://www.w3.org/TR/WGSL/#literals, #floating-point-evaluation
"""

from __future__ import annotations

import math
import struct

__all__ = ["f16_literal", "f32_bits", "f32_literal", "i32_literal", "needs_bits", "u32_literal"]

_F32_MIN_NORMAL = 2.0**-126
_F16_MIN_NORMAL = 2.0**-14


def f32_bits(value: float) -> int:
    """The IEEE bit pattern of a value that is an f32."""
    return int(struct.unpack("<I", struct.pack("<f", value))[0])


def needs_bits(value: float, *, half: bool = False) -> bool:
    """True if no literal is safe for this value: NaN, infinity, denormal, negative zero."""
    if not math.isfinite(value):
        return True
    if value == 0.0:
        return math.copysign(1.0, value) < 0.0
    return abs(value) < (_F16_MIN_NORMAL if half else _F32_MIN_NORMAL)


def f32_literal(value: float) -> str:
    """The shortest decimal that reads back as the f32 `value` (which must not `needs_bits`)."""
    # Near the largest f32 the shortest decimal lies above it, and WGSL rejects that as an overflow.
    if abs(value) > 3.4e38:
        return repr(value)
    packed = struct.pack("<f", value)
    for digits in range(1, 10):
        text = f"{value:.{digits}g}"
        if struct.pack("<f", float(text)) == packed:
            break
    mantissa, exponent_mark, exponent = text.partition("e")
    if not exponent_mark:
        return text if "." in text else f"{text}.0"
    return f"{mantissa}e{int(exponent)}"


def f16_literal(value: float) -> str:
    """An f16 literal; five significant digits name every f16."""
    packed = struct.pack("<e", value)
    for digits in range(1, 8):
        text = f"{value:.{digits}f}" if 1e-3 < abs(value) < 1e5 or value == 0.0 else f"{value:.{digits}e}"
        if struct.pack("<e", float(text)) == packed:
            break
    return f"{text}h"


def i32_literal(value: int) -> str:
    """The bits of a 32-bit integer read as i32; the smallest has no literal of its own."""
    signed = (value & 0xFFFFFFFF) - ((value & 0x80000000) << 1)
    return f"i32({signed})" if signed == -0x80000000 else str(signed)


def u32_literal(value: int) -> str:
    """The bits of a 32-bit integer read as u32."""
    return f"{value & 0xFFFFFFFF}u"
