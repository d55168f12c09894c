"""Reading a `.tflite` file, which may be damaged or hostile.

Enters: a file's bytes. Leaves: a `ModelInfo` of plain data, with every index checked and every constant as a NumPy
array of the declared type and shape (4-bit integers unpacked to 8 bits, sparse weights still packed). All damage is one
`CompileError`. FlatBuffers themselves are read by webree.module.flatbuffer, so that no package is needed.
Format: https://ai.google.dev/edge/litert/conversion/tensorflow/flatbuffers, tables: tflite_schema.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from webree.compiler.frontends.tflite_schema import ELEMENT_TYPES, OPTIONS, ElementType, operator_name
from webree.errors import CompileError, ModuleError
from webree.module.flatbuffer import Table, root

__all__ = ["Array", "ModelInfo", "OperatorInfo", "Quantization", "SignatureInfo", "SubgraphInfo", "TensorInfo", "read"]

Array = np.ndarray[Any, Any]

_MAX_RANK = 16
_MAX_ELEMENTS = 1 << 40
_ZERO_POINTS = {"i8": (-128, 127), "ui8": (0, 255), "i16": (-(1 << 15), (1 << 15) - 1), "i4": (-8, 7)}


@dataclass(frozen=True, slots=True)
class Quantization:
    """Of a tensor: real = (stored - zero_point) * scale, along `axis` if there are several scales."""

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int

    @property
    def per_tensor(self) -> bool:
        """Whether one scale holds for all elements."""
        return len(self.scale) == 1


@dataclass(frozen=True, slots=True)
class DimensionInfo:
    """One level of a sparse tensor: dense with `size` entries, or compressed rows (segments and indices)."""

    size: int
    segments: tuple[int, ...]
    indices: tuple[int, ...]
    is_dense: bool


@dataclass(frozen=True, slots=True)
class Sparsity:
    """How a sparse constant is packed: https://arxiv.org/abs/1804.10112, with blocks as further inner levels."""

    order: tuple[int, ...]
    block_map: tuple[int, ...]
    dimensions: tuple[DimensionInfo, ...]


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor of a subgraph.

    Attributes:
        shape: as the file gives it, with -1 where it says that any size may come (`shape_signature`).
        data: the constant's elements, or None for what is computed. Flat if it is sparse.
    """

    index: int
    name: str
    element: ElementType
    shape: tuple[int, ...]
    data: Array | None
    quantization: Quantization | None
    sparsity: Sparsity | None
    is_variable: bool


@dataclass(frozen=True, slots=True)
class OperatorInfo:
    """One operator of a subgraph; -1 among `inputs` stands for one that is left out."""

    index: int
    name: str
    code: int
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any]
    custom_options: bytes


@dataclass(frozen=True, slots=True)
class SubgraphInfo:
    """A function of the model."""

    index: int
    name: str
    tensors: tuple[TensorInfo, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[OperatorInfo, ...]


@dataclass(frozen=True, slots=True)
class SignatureInfo:
    """A named entry: names of the inputs and outputs, each with its tensor's index in the subgraph."""

    key: str
    subgraph: int
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A whole file."""

    subgraphs: tuple[SubgraphInfo, ...]
    signatures: tuple[SignatureInfo, ...]


def read(data: bytes, label: str) -> ModelInfo:
    """Everything in the file. Raises `CompileError` if it is damaged or uses element types that cannot be read."""
    try:
        model = root(data, "TFL3")
        buffers = [_buffer(table, data) for table in model.tables(4)]
        codes = [_operator_code(table) for table in model.tables(1)]
        subgraphs = tuple(_subgraph(index, table, buffers, codes) for index, table in enumerate(model.tables(2)))
        signatures = tuple(_signature(table, subgraphs) for table in model.tables(7))
    except ModuleError as error:
        raise CompileError(f"{label} is damaged: {error}", location=label) from error
    except _Damage as error:
        raise CompileError(f"{label} is damaged: {error}", location=label) from error
    if not subgraphs:
        raise CompileError(f"{label} is damaged: it holds no subgraph", location=label)
    return ModelInfo(subgraphs, signatures)


class _Damage(Exception):
    """Something in the file contradicts itself."""


def _buffer(table: Table, data: bytes) -> memoryview | None:
    """Constants of large files lie behind the flatbuffer, at an offset of the file."""
    offset, size = table.scalar(1, "Q", 0), table.scalar(2, "Q", 0)
    if offset > 1:
        if offset + size > len(data):
            raise _Damage(f"a buffer of {size} bytes at byte {offset} lies outside the {len(data)} bytes of the file")
        return memoryview(data)[offset : offset + size]
    found = table.bytes(0)
    return found if found is not None and len(found) else None


def _operator_code(table: Table) -> tuple[int, str, int]:
    """Code, name, version. Codes above 127 stand in a field of their own."""
    code = max(table.scalar(0, "b", 0), table.scalar(3, "i", 0))
    name = operator_name(code)
    if name == "CUSTOM":
        name = table.string(1) or "CUSTOM"
    return code, name, table.scalar(2, "i", 1)


def _subgraph(
    index: int, table: Table, buffers: list[memoryview | None], codes: list[tuple[int, str, int]]
) -> SubgraphInfo:
    tensors = tuple(_tensor(number, item, buffers) for number, item in enumerate(table.tables(0)))
    operators = tuple(_operator(number, item, codes, len(tensors)) for number, item in enumerate(table.tables(3)))
    inputs = _indices(table, 1, len(tensors), f"inputs of subgraph {index}")
    outputs = _indices(table, 2, len(tensors), f"outputs of subgraph {index}")
    return SubgraphInfo(index, table.string(4) or "main", tensors, inputs, outputs, operators)


def _indices(table: Table, slot: int, count: int, what: str, lowest: int = 0) -> tuple[int, ...]:
    found = table.scalars(slot, "i")
    for item in found:
        if not lowest <= item < count:
            raise _Damage(f"{what}: tensor {item} does not exist ({count} tensors)")
    return found


def _tensor(index: int, table: Table, buffers: list[memoryview | None]) -> TensorInfo:
    name = table.string(3) or f"tensor_{index}"
    what = f"tensor {index} {name!r}"
    code = table.scalar(1, "b", 0)
    element = ELEMENT_TYPES.get(code, ElementType(f"type{code}", "", f"type {code}"))
    shape = table.scalars(0, "i")
    signature = table.scalars(7, "i")
    if len(shape) > _MAX_RANK or any(size < 0 for size in shape) or math.prod(shape) > _MAX_ELEMENTS:
        raise _Damage(f"{what} has the impossible shape {list(shape)[: _MAX_RANK + 1]}")
    if signature and (len(signature) != len(shape) or any(size < -1 for size in signature)):
        raise _Damage(f"{what} has the shape {list(shape)} and the shape signature {list(signature)}")
    number = table.scalar(2, "I", 0)
    if number >= max(len(buffers), 1):
        raise _Damage(f"{what} lies in buffer {number}, of {len(buffers)}")
    quantization = _quantization(table.table(4), shape, element, what)
    sparsity = _sparsity(table.table(6), what)
    content = buffers[number] if number and buffers else None
    data = None
    if content is None and number and 0 in shape and element.numpy:
        data = np.zeros(shape, element.numpy)
    elif content is not None:
        data, element = _constant(content, element, shape, sparsity is not None, what)
    open_shape = signature if signature and data is None else shape
    return TensorInfo(index, name, element, open_shape, data, quantization, sparsity, bool(table.scalar(5, "?", False)))


def _constant(
    content: memoryview, element: ElementType, shape: tuple[int, ...], is_sparse: bool, what: str
) -> tuple[Array | None, ElementType]:
    count = math.prod(shape)
    if element.title == "INT4":
        packed = np.frombuffer(content, np.int8)
        if len(packed) != (count + 1) // 2:
            raise _Damage(f"{what} holds {len(packed)} bytes, and {list(shape)} INT4 take {(count + 1) // 2}")
        low, high = (packed << 4) >> 4, packed >> 4
        return np.stack([low, high], -1).reshape(-1)[:count].reshape(shape), ELEMENT_TYPES[9]
    if not element.numpy:
        return None, element
    kind = np.dtype(element.numpy)
    if is_sparse:
        return np.frombuffer(content[: len(content) // kind.itemsize * kind.itemsize], kind), element
    if len(content) != count * kind.itemsize:
        raise _Damage(
            f"{what} holds {len(content)} bytes, and {list(shape)} {element.title} take {count * kind.itemsize}"
        )
    return np.frombuffer(content, kind).reshape(shape), element


def _quantization(table: Table | None, shape: tuple[int, ...], element: ElementType, what: str) -> Quantization | None:
    if table is None:
        return None
    scale, zero_point = table.scalars(2, "f"), table.scalars(3, "q")
    if not scale:
        return None
    axis = table.scalar(6, "i", 0)
    lowest, highest = _ZERO_POINTS.get(element.name, (-(1 << 31), (1 << 31) - 1))
    zero_point = zero_point or (0,) * len(scale)
    if len(zero_point) == 1:
        zero_point = zero_point * len(scale)
    sized = len(scale) == 1 or (0 <= axis < len(shape) and shape[axis] == len(scale))
    if not sized or len(zero_point) != len(scale):
        raise _Damage(
            f"{what} of shape {list(shape)} has {len(scale)} scales and {len(zero_point)} zero points along axis {axis}"
        )
    if not all(math.isfinite(item) and item >= 0 for item in scale) or not all(
        lowest <= zero <= highest for zero in zero_point
    ):
        raise _Damage(f"{what} has an impossible scale or zero point")
    return Quantization(scale, zero_point, axis if len(scale) > 1 else 0)


def _sparsity(table: Table | None, what: str) -> Sparsity | None:
    if table is None:
        return None
    dimensions = []
    for item in table.tables(2):
        segments = _integers(item, 3, what)
        indices = _integers(item, 5, what)
        dimensions.append(DimensionInfo(item.scalar(1, "i", 0), segments, indices, item.scalar(0, "b", 0) == 0))
    return Sparsity(table.scalars(0, "i"), table.scalars(1, "i"), tuple(dimensions))


def _integers(table: Table, slot: int, what: str) -> tuple[int, ...]:
    """A union of vectors of 32, 16 or 8 bits, whose type stands in the slot before."""
    kind, vector = table.scalar(slot - 1, "B", 0), table.table(slot)
    if kind == 0 or vector is None:
        return ()
    if kind > 3:
        raise _Damage(f"{what} has sparse indices of the unknown kind {kind}")
    return vector.scalars(0, "iHB"[kind - 1])


def _operator(index: int, table: Table, codes: list[tuple[int, str, int]], tensor_count: int) -> OperatorInfo:
    number = table.scalar(0, "I", 0)
    if number >= len(codes):
        raise _Damage(f"operator {index} has the code {number}, of {len(codes)}")
    code, name, version = codes[number]
    inputs = _indices(table, 1, tensor_count, f"inputs of operator {index} ({name})", -1)
    outputs = _indices(table, 2, tensor_count, f"outputs of operator {index} ({name})")
    options = table.table(4)
    values: dict[str, Any] = {}
    for field, how in OPTIONS.get(name, {}).items():
        if options is None:
            values[field] = how.default
        elif how.kind == "i*":
            values[field] = options.scalars(how.slot, "i")
        elif how.kind == "s":
            values[field] = options.string(how.slot) or ""
        else:
            values[field] = options.scalar(how.slot, how.kind, how.default)
    custom = table.bytes(5)
    return OperatorInfo(index, name, code, version, inputs, outputs, values, b"" if custom is None else bytes(custom))


def _signature(table: Table, subgraphs: tuple[SubgraphInfo, ...]) -> SignatureInfo:
    key, number = table.string(2) or "", table.scalar(4, "I", 0)
    if number >= len(subgraphs):
        raise _Damage(f"signature {key!r} belongs to subgraph {number}, of {len(subgraphs)}")
    sides = []
    for slot in (0, 1):
        pairs = tuple((item.string(0) or "", item.scalar(1, "I", 0)) for item in table.tables(slot))
        if any(index >= len(subgraphs[number].tensors) for _, index in pairs):
            raise _Damage(f"signature {key!r} names a tensor that does not exist")
        sides.append(pairs)
    return SignatureInfo(key, number, sides[0], sides[1])
