"""Buffer views: a buffer with a shape and an element type, the form in which tensors cross a function's boundary."""

from __future__ import annotations

from dataclasses import dataclass

from webree.hal.buffer import Buffer
from webree.hal.enums import EncodingType

__all__ = ["BufferView"]


@dataclass(frozen=True, slots=True)
class BufferView:
    """A dense row-major tensor in device memory.

    Attributes:
        buffer: exactly the tensor's bytes (already a subspan).
        shape: dimensions in elements; () for a scalar tensor.
        element_type: IREE element type code (see webree.dtypes).
        encoding: memory layout.
    """

    buffer: Buffer
    shape: tuple[int, ...]
    element_type: int
    encoding: int = EncodingType.DENSE_ROW_MAJOR
