"""The `vmvx` module: kernels for whole tiles that VMVX programs call instead of looping themselves.

Enters: VM buffers with offsets, strides and sizes, all in elements (strides may be 0 or negative). Leaves: results in
the output buffers. This file has the names, the conventions, the checks of every range and the layouts; the numbers are
computed by NumPy where it can be imported (vmvx_numpy.py), else by plain Python (vmvx_plain.py): both give the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from webree.errors import InvocationError, StatusCode
from webree.host_tensors import numpy_module
from webree.vm.buffers import VmBuffer
from webree.vm.modules.rows import by_name, row
from webree.vm.native import NativeFunction

__all__ = ["Kernels", "Operand", "VmvxModule"]

_BINARY = {"f32": "add sub mul div", "i32": "add sub mul divs divu and or xor shl shrs shru"}
_UNARY = {"f32": "abs ceil exp floor log neg rsqrt", "i32": "ctlz"}
_LETTERS = {"f32": "f", "i32": "i", "x8": "B", "x16": "H", "x32": "I", "x64": "Q"}

_MMT4D_TYPES = {1: "fff", 2: "bbi"}
_MMT4D_ACCUMULATE, _MMT4D_KNOWN = 0x100, 0x7FF
_PACK_LETTERS = {1: "f", 2: "b", 3: "i"}
_TRANSPOSE_INNER, _TRANSPOSE_OUTER = 0x100, 0x200


class Operand(NamedTuple):
    """An array inside a buffer, whose range has been checked.

    Attributes:
        view: all elements of the buffer, typed.
        offset, strides: in elements.
        sizes: extents.
    """

    view: memoryview
    offset: int
    strides: tuple[int, ...]
    sizes: tuple[int, ...]


class Kernels(Protocol):
    """What computes. Operands of one call have equal sizes; f32 results are rounded once an operation, i32 wrap."""

    def binary(self, operation: str, left: Operand, right: Operand, target: Operand) -> None:
        """Operations of `_BINARY` on 2-D operands. Raises `InvocationError` for an integer division by zero."""
        ...

    def unary(self, operation: str, source: Operand, target: Operand) -> None:
        """Operations of `_UNARY`, and `copy`."""
        ...

    def fill(self, value: int, target: Operand) -> None: ...

    def mmt4d(self, left: Operand, right: Operand, target: Operand, accumulate: bool) -> None:
        """target[m][n][m0][n0] (+)= sum over k, k0 of left[m][k][m0][k0] * right[n][k][n0][k0]."""
        ...

    def pack(self, source: Operand, target: Operand, padding: bytes, inner: bool, outer: bool) -> None:
        """2-D into tiles: target[i][j][a][b] = source[i * A + a][j * B + b], `padding` where there is none; `inner`
        exchanges a and b, `outer` i and j, on the target's side."""
        ...

    def unpack(self, source: Operand, target: Operand, inner: bool, outer: bool) -> None:
        """The way back."""
        ...


class VmvxModule:
    """The `vmvx` module. `kernels` replaces the choice between NumPy and plain Python."""

    name = "vmvx"
    version = 0

    def __init__(self, kernels: Kernels | None = None) -> None:
        self._kernels = kernels or _find_kernels()
        make = partial(row, self.name)
        rows = [
            make("fill.2d.x32", "0irIIII_v", self._fill, VmBuffer),
            make("mmt4d", "0rIIrIIrIIIIIiiii_v", self._mmt4d, VmBuffer, VmBuffer, VmBuffer),
            make("pack", "0rIIIrIIIIIIIIIIi_v", self._pack, VmBuffer, VmBuffer),
            make("unpack", "0rIIIrIIIIIIIIIi_v", self._unpack, VmBuffer, VmBuffer),
            make("query_tile_sizes.2d", "0IIi_II", _query_tile_sizes),
        ]
        for kind, operations in _BINARY.items():
            for operation in operations.split():
                call = partial(self._binary, operation, _LETTERS[kind])
                buffers = (VmBuffer, VmBuffer, VmBuffer)
                rows.append(make(f"{operation}.2d.{kind}", "0rIIIrIIIrIIIII_v", call, *buffers))
        copies = {kind: "copy" for kind in ("x8", "x16", "x32", "x64")}
        for kind, operations in (*_UNARY.items(), *copies.items()):
            for operation in operations.split():
                call = partial(self._unary, operation, _LETTERS[kind])
                rows.append(make(f"{operation}.2d.{kind}", "0rIIIrIIIII_v", call, VmBuffer, VmBuffer))
        self.functions: Mapping[str, NativeFunction] = by_name(rows)

    def _binary(self, operation: str, letter: str, *values: object) -> None:
        left, right, target = _operands(letter, values, 3)
        self._kernels.binary(operation, left, right, target)

    def _unary(self, operation: str, letter: str, *values: object) -> None:
        source, target = _operands(letter, values, 2)
        self._kernels.unary(operation, source, target)

    def _fill(self, value: int, buffer: VmBuffer, offset: int, stride: int, size0: int, size1: int) -> None:
        self._kernels.fill(value, _operand(buffer, "i", offset, (stride, 1), (size0, size1), writes=True))

    def _mmt4d(
        self,
        left: VmBuffer,
        left_offset: int,
        left_stride: int,
        right: VmBuffer,
        right_offset: int,
        right_stride: int,
        target: VmBuffer,
        target_offset: int,
        target_stride: int,
        m: int,
        n: int,
        k: int,
        m0: int,
        n0: int,
        k0: int,
        flags: int,
    ) -> None:
        letters = _MMT4D_TYPES.get(flags & 0xFF)
        if letters is None or flags & ~_MMT4D_KNOWN:
            raise _unsupported("mmt4d", flags, "types 1 (f32) and 2 (i8 to i32)")
        self._kernels.mmt4d(
            _operand(left, letters[0], left_offset, (left_stride, m0 * k0, k0, 1), (m, k, m0, k0)),
            _operand(right, letters[1], right_offset, (right_stride, n0 * k0, k0, 1), (n, k, n0, k0)),
            _operand(target, letters[2], target_offset, (target_stride, m0 * n0, n0, 1), (m, n, m0, n0), writes=True),
            bool(flags & _MMT4D_ACCUMULATE),
        )

    def _pack(
        self,
        source: VmBuffer,
        source_offset: int,
        source_stride0: int,
        source_stride1: int,
        target: VmBuffer,
        target_offset: int,
        target_stride0: int,
        target_stride1: int,
        source_size0: int,
        source_size1: int,
        size0: int,
        size1: int,
        size2: int,
        size3: int,
        padding: int,
        flags: int,
    ) -> None:
        letter, inner, outer = _tiling("pack", flags)
        flat = _operand(source, letter, source_offset, (source_stride0, source_stride1), (source_size0, source_size1))
        strides, sizes = (target_stride0, target_stride1, size3, 1), (size0, size1, size2, size3)
        tiles = _operand(target, letter, target_offset, strides, sizes, writes=True)
        bits = (padding & (1 << 64) - 1).to_bytes(8, "little")[: flat.view.itemsize]
        self._kernels.pack(flat, tiles, bits, inner, outer)

    def _unpack(
        self,
        source: VmBuffer,
        source_offset: int,
        source_stride0: int,
        source_stride1: int,
        target: VmBuffer,
        target_offset: int,
        target_stride0: int,
        target_stride1: int,
        size0: int,
        size1: int,
        size2: int,
        size3: int,
        target_size0: int,
        target_size1: int,
        flags: int,
    ) -> None:
        letter, inner, outer = _tiling("unpack", flags)
        strides, sizes = (source_stride0, source_stride1, size3, 1), (size0, size1, size2, size3)
        tiles = _operand(source, letter, source_offset, strides, sizes)
        rows = tiles.sizes[1 if outer else 0] * tiles.sizes[3 if inner else 2]
        columns = tiles.sizes[0 if outer else 1] * tiles.sizes[2 if inner else 3]
        if target_size0 > rows or target_size1 > columns:
            raise InvocationError(
                f"vmvx.unpack: {target_size0}x{target_size1} elements out of {rows}x{columns}; the module is faulty",
                status=StatusCode.OUT_OF_RANGE,
            )
        strides2, sizes2 = (target_stride0, target_stride1), (target_size0, target_size1)
        self._kernels.unpack(
            tiles, _operand(target, letter, target_offset, strides2, sizes2, writes=True), inner, outer
        )


def _find_kernels() -> Kernels:
    if numpy_module() is not None:
        from webree.vm.modules.vmvx_numpy import NumpyKernels

        return NumpyKernels()
    from webree.vm.modules.vmvx_plain import PlainKernels

    return PlainKernels()


def _operands(letter: str, values: Sequence[object], count: int) -> list[Operand]:
    """(buffer, offset, stride, stride) of each operand, then the two sizes they share; the last is written."""
    sizes: tuple[int, int] = values[-2:]  # type: ignore[assignment]
    return [
        _operand(buffer, letter, offset, strides, sizes, writes=position == count - 1)  # type: ignore[arg-type]
        for position in range(count)
        for buffer, offset, *strides in (values[4 * position : 4 * position + 4],)
    ]


def _operand(
    buffer: VmBuffer, letter: str, offset: int, strides: Sequence[int], sizes: Sequence[int], *, writes: bool = False
) -> Operand:
    """Check that all elements lie in the buffer."""
    view = buffer.typed(letter)
    if writes and view.readonly:
        raise InvocationError("vmvx: the output buffer is read-only", status=StatusCode.PERMISSION_DENIED)
    least = greatest = offset
    for stride, size in zip(strides, sizes, strict=True):
        if size < 0:
            raise InvocationError(f"vmvx: an array of negative size {tuple(sizes)}; the module is faulty")
        least += min(stride * (size - 1), 0)
        greatest += max(stride * (size - 1), 0)
    if 0 not in sizes and (least < 0 or greatest >= len(view)):
        raise InvocationError(
            f"vmvx: elements {least}..{greatest} lie outside a buffer of {len(view)} elements of {view.itemsize} bytes",
            status=StatusCode.OUT_OF_RANGE,
        )
    return Operand(view, offset if 0 not in sizes else 0, tuple(strides), tuple(sizes))


def _tiling(name: str, flags: int) -> tuple[str, bool, bool]:
    letter = _PACK_LETTERS.get(flags & 0xFF)
    if letter is None or flags & ~(0xFF | _TRANSPOSE_INNER | _TRANSPOSE_OUTER):
        raise _unsupported(name, flags, "types 1 (f32), 2 (i8) and 3 (i32), transposed or not")
    return letter, bool(flags & _TRANSPOSE_INNER), bool(flags & _TRANSPOSE_OUTER)


def _unsupported(name: str, flags: int, supported: str) -> InvocationError:
    return InvocationError(
        f"vmvx.{name}: flags {flags:#x} are not known; this runtime has {supported}. Compile the model with the "
        "compiler that this version of webree uses",
        status=StatusCode.UNIMPLEMENTED,
    )


def _query_tile_sizes(size0: int, size1: int, flags: int) -> tuple[int, int]:
    """Any tiles are right if all operands of an operation agree: 8x8 results, 4 deep."""
    return {1: (8, 4), 2: (8, 4), 3: (8, 8)}.get(flags & 0xFF, (8, 8))
