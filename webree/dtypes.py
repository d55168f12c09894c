"""Element types: one table that ties together NumPy names, MLIR names and IREE's numeric element types.

Enters: any of the three spellings. Leaves: a `DType` with its size, its `struct` letter and its IREE code
(`numerical_type << 24 | bit_count`, see docs/module-format.md). No NumPy import here: the runtime works without it.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DTYPES", "DType", "by_element_type", "by_mlir", "by_name"]

_INTEGER, _SINT, _UINT, _BOOL, _FLOAT, _BRAIN, _COMPLEX = 0x10, 0x11, 0x12, 0x13, 0x21, 0x22, 0x23


@dataclass(frozen=True)
class DType:
    """An element type.

    Attributes:
        name: NumPy's name (`float32`, `int64`, `bool`, `bfloat16`).
        mlir: MLIR's name (`f32`, `i64`, `i1`, `bf16`).
        byte_size: bytes of one element in memory.
        format: `struct` format letter of one element (`H` for the raw bits of bfloat16), "" for complex types.
        numerical_type: IREE's numerical type.
        bit_count: IREE's bit count (8 for bool).
    """

    name: str
    mlir: str
    byte_size: int
    format: str
    numerical_type: int
    bit_count: int

    @property
    def element_type(self) -> int:
        """IREE's element type code."""
        return self.numerical_type << 24 | self.bit_count


DTYPES: tuple[DType, ...] = (
    DType("bool", "i1", 1, "?", _BOOL, 8),
    DType("int8", "i8", 1, "b", _INTEGER, 8),
    DType("int16", "i16", 2, "h", _INTEGER, 16),
    DType("int32", "i32", 4, "i", _INTEGER, 32),
    DType("int64", "i64", 8, "q", _INTEGER, 64),
    DType("int8", "si8", 1, "b", _SINT, 8),
    DType("int16", "si16", 2, "h", _SINT, 16),
    DType("int32", "si32", 4, "i", _SINT, 32),
    DType("int64", "si64", 8, "q", _SINT, 64),
    DType("uint8", "ui8", 1, "B", _UINT, 8),
    DType("uint16", "ui16", 2, "H", _UINT, 16),
    DType("uint32", "ui32", 4, "I", _UINT, 32),
    DType("uint64", "ui64", 8, "Q", _UINT, 64),
    DType("float16", "f16", 2, "e", _FLOAT, 16),
    DType("float32", "f32", 4, "f", _FLOAT, 32),
    DType("float64", "f64", 8, "d", _FLOAT, 64),
    DType("bfloat16", "bf16", 2, "H", _BRAIN, 16),
    DType("complex64", "complex<f32>", 8, "", _COMPLEX, 64),
    DType("complex128", "complex<f64>", 16, "", _COMPLEX, 128),
)

_BY_NAME: dict[str, DType] = {}
for _dtype in DTYPES:
    _BY_NAME.setdefault(_dtype.name, _dtype)
_BY_MLIR = {dtype.mlir: dtype for dtype in DTYPES}
_BY_ELEMENT_TYPE = {dtype.element_type: dtype for dtype in DTYPES}


def by_name(name: str) -> DType:
    """The (signless, where there is a choice) type of a NumPy name; `KeyError` if there is none."""
    return _BY_NAME[name]


def by_mlir(name: str) -> DType:
    """The type of an MLIR element type's text; `KeyError` if there is none."""
    return _BY_MLIR[name]


def by_element_type(code: int) -> DType:
    """The type of an IREE element type code; `KeyError` if there is none."""
    return _BY_ELEMENT_TYPE[code]
