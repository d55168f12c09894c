"""What operations that work in place, and softmax, need before kernels are formed of them.

Enters: the module after the phase `input`. Leaves: the same module, in which

- sorts keep equal elements in their order, as StableHLO, ONNX and NumPy want it (argsort shows it): the compiler's sort
  swaps two neighbours unless the comparator says that they are in order, and comparators say so only of elements that
  differ;
- every result of a sort and of an FFT is used. They work in place; where a result is dropped, a GPU kernel has no
  memory for it but the workgroup's, on which all threads then work at once;
- they work on whole tensors. A part of a tensor, taken in the same kernel, is read only, and so would have to be copied
  to memory that a GPU kernel does not have;
- a scatter's tensor is no part of another one: it is copied and changed in one kernel then, and the copy is not
  distributed to workgroups, which the compiler refuses;
- what is put into a tensor is no part of that tensor: threads of one kernel would read what others have overwritten;
- softmax of one row of unknown length is one of a tensor with that dimension alone. Others of extent 1 make the
  compiler take the row for one thread's, which would keep all of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from webree.codegen_wgsl.schedules.aggregates import take_apart
from webree.codegen_wgsl.schedules.building import extent_of
from webree.compiler.walking import walk

__all__ = ["prepare_linalg_ext"]

_SORT = "iree_linalg_ext.sort"
_IN_PLACE = (_SORT, "iree_linalg_ext.fft")
_SCATTER = "iree_linalg_ext.scatter"
_SOFTMAX = "linalg.softmax"
_PARTS = ("tensor.extract_slice", "tensor.collapse_shape", "tensor.expand_shape")


def prepare_linalg_ext(module: Any, *, keep_results: bool) -> int:
    """Change the module in place; returns how many operations were looked at. `keep_results`: for GPUs."""
    if not keep_results:
        take_apart(module, only_of_unknown_size=True)  # WebGPU takes all apart, later
    found = [op for op in walk(module.operation) if op.name in _IN_PLACE]
    for op in found:
        if op.name == _SORT:
            _make_stable(op.regions[0].blocks[0])
        if keep_results:
            _keep_results(op)
            _take_whole(op, range(len(op.operands)))
    for op in [op for op in walk(module.operation) if op.name == _SCATTER and _is_slice(op.operands[-1])]:
        _take_whole(op, (len(op.operands) - 1,))
    for op in [op for op in walk(module.operation) if keep_results and op.name == "tensor.insert_slice"]:
        if _root(op.operands[0]) == _root(op.operands[1]):
            _take_whole(op, (0,))
    for op in [op for op in walk(module.operation) if op.name == _SOFTMAX and _is_one_row(op)]:
        _drop_ones(op)
    return len(found)


def _is_one_row(op: Any) -> bool:
    kind = op.results[0].type
    others = [dim for dim in range(kind.rank) if dim != int(op.attributes["dimension"])]
    return bool(others) and not kind.has_static_shape and all(_extent(kind, dim) == 1 for dim in others)


def _extent(kind: Any, dim: int) -> int | None:
    return None if kind.is_dynamic_dim(dim) else int(kind.get_dim_size(dim))


def _drop_ones(op: Any) -> None:
    from iree.compiler import ir
    from iree.compiler.dialects import tensor

    kind = op.results[0].type
    unknown = ir.ShapedType.get_dynamic_size()
    with op.context, op.location, ir.InsertionPoint(op):
        row = ir.RankedTensorType.get([unknown], kind.element_type)
        integer = ir.IntegerType.get_signless(64)
        dims = ir.ArrayAttr.get([ir.IntegerAttr.get(integer, dim) for dim in range(kind.rank)])
        groups = ir.ArrayAttr.get([dims])
        inputs = [tensor.collapse_shape(row, operand, groups) for operand in op.operands]
        first = ir.IntegerAttr.get(integer, 0)
        made = ir.Operation.create(_SOFTMAX, [row], inputs, attributes={"dimension": first}).results[0]
        shape = [_extent(kind, dim) or unknown for dim in range(kind.rank)]
        result = tensor.expand_shape(kind, made, groups, [extent_of(made, 0)], shape)
    op.results[0].replace_all_uses_with(result)
    op.erase()


def _make_stable(block: Any) -> None:
    """In order are elements of which the comparator says so, or does not say the opposite."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    *body, last = [op.operation for op in block]
    arguments = list(block.arguments)
    swapped = dict(zip(arguments, [other for pair in _pairs(arguments) for other in reversed(pair)], strict=True))
    with last.context, last.location, ir.InsertionPoint(last):
        for op in body:
            clone = op.clone()
            for position, operand in enumerate(op.operands):
                clone.operands[position] = swapped.get(operand, operand)
            swapped.update(zip(op.results, clone.results, strict=True))
        verdict = last.operands[0]
        opposite = swapped.get(verdict, verdict)
        true = arith.constant(ir.IntegerType.get_signless(1), 1)
        last.operands[0] = arith.ori(verdict, arith.xori(opposite, true))


def _pairs(arguments: list[Any]) -> Iterator[tuple[Any, Any]]:
    return zip(arguments[::2], arguments[1::2], strict=True)


def _keep_results(op: Any) -> None:
    """Results that nobody uses go through a barrier, so that they are written to memory."""
    from iree.compiler import ir

    unused = [result for result in op.results if next(iter(result.uses), None) is None]
    if not unused or len(unused) == len(op.results):
        return
    with op.context, op.location, ir.InsertionPoint.after(op):
        ir.Operation.create("util.optimization_barrier", [value.type for value in unused], unused)


def _take_whole(op: Any, indices: Iterable[int]) -> None:
    """Parts of tensors go through a barrier, so that a kernel before makes them tensors of their own."""
    from iree.compiler import ir

    for index in indices:
        operand = op.operands[index]
        if isinstance(operand, ir.OpResult) and operand.owner.operation.name in _PARTS:
            with op.context, op.location, ir.InsertionPoint(op):
                barrier = ir.Operation.create("util.optimization_barrier", [operand.type], [operand])
            op.operands[index] = barrier.results[0]


def _is_slice(value: Any) -> bool:
    """Whether a tensor is, in another shape or not, a slice of one."""
    from iree.compiler import ir

    while isinstance(value, ir.OpResult) and value.owner.operation.name in _PARTS:
        if value.owner.operation.name == "tensor.extract_slice":
            return True
        value = value.owner.operation.operands[0]
    return False


def _root(value: Any) -> Any:
    """The tensor that this is a part of."""
    from iree.compiler import ir

    while isinstance(value, ir.OpResult) and value.owner.operation.name in _PARTS:
        value = value.owner.operation.operands[0]
    return value
