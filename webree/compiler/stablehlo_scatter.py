"""Scatter of windows, as one of single elements.

Enters: `stablehlo.scatter` whose updates are windows in the dimensions that it scatters along (rows `i` to `i + 1` of a
matrix, say). The input conversion has scatters whose windows are whole in all other dimensions and one element wide in
these. Leaves: one more index for every element of a window, https://openxla.org/stablehlo/spec#scatter.
"""

from __future__ import annotations

from typing import Any

from webree.compiler.stablehlo_build import create, number_in, numbers_in

__all__ = ["scatter_elements"]


def scatter_elements(op: Any) -> bool:
    """Replace the operation; False if its windows are one element wide already, or shapes are not known."""
    from iree.compiler import ir

    if len(op.operands) != 3:
        return False
    operand, indices, updates = op.operands
    kinds = [ir.RankedTensorType(value.type) for value in (operand, indices, updates)]
    text = str(op.attributes["scatter_dimension_numbers"])
    if not all(kind.has_static_shape for kind in kinds) or numbers_in(text, "input_batching_dims"):
        return False
    window_dims, inserted = numbers_in(text, "update_window_dims"), numbers_in(text, "inserted_window_dims")
    scattered = numbers_in(text, "scatter_dims_to_operand_dims")
    shapes = [list(kind.shape) for kind in kinds]
    windowed = [dim for dim in range(len(shapes[0])) if dim not in inserted]
    moved = [(u, dim) for u, dim in zip(window_dims, windowed, strict=True) if dim in scattered and shapes[2][u] > 1]
    if not moved:
        return False
    batch = [dim for dim in range(len(shapes[2])) if dim not in window_dims]
    rest = [dim for dim in window_dims if dim not in [u for u, _ in moved]]
    order = [*batch, *(u for u, _ in moved), *rest]
    new_updates = _transpose(updates, order)
    widths = [shapes[2][u] for u, _ in moved]
    components = [scattered.index(dim) for _, dim in moved]
    new_indices = _spread(indices, number_in(text, "index_vector_dim"), widths, components, len(scattered))
    outer = len(batch) + len(moved)
    numbers = (
        f"update_window_dims = {list(range(outer, len(order)))}, "
        f"inserted_window_dims = {sorted([*inserted, *(dim for _, dim in moved)])}, "
        f"scatter_dims_to_operand_dims = {scattered}, index_vector_dim = {outer}"
    )
    new = ir.Operation.create(
        "stablehlo.scatter",
        [op.results[0].type],
        [operand, new_indices, new_updates],
        attributes={"scatter_dimension_numbers": ir.Attribute.parse(f"#stablehlo.scatter<{numbers}>")},
        regions=1,
    )
    op.regions[0].blocks[0].append_to(new.regions[0])
    op.results[0].replace_all_uses_with(new.results[0])
    op.erase()
    return True


def _spread(indices: Any, vector_dim: int, widths: list[int], components: list[int], length: int) -> Any:
    """Indices of every element: those of the windows, index vector last, and the place in the window added."""
    import numpy as np
    from iree.compiler import ir

    kind = ir.RankedTensorType(indices.type)
    shape = list(kind.shape)
    if vector_dim < len(shape):
        order = [dim for dim in range(len(shape)) if dim != vector_dim] + [vector_dim]
        indices = _transpose(indices, order)
        shape = [shape[dim] for dim in order][:-1]
    result = ir.RankedTensorType.get([*shape, *widths, length], kind.element_type)
    kept = list(range(len(shape)))
    if vector_dim < len(kind.shape):
        kept.append(len(shape) + len(widths))
    starts = create("broadcast_in_dim", [result], [indices], broadcast_dimensions=ir.DenseI64ArrayAttr.get(kept))
    offsets = np.zeros([*widths, length], dtype=np.int64)
    for position, component in enumerate(components):
        offsets[..., component] += np.arange(widths[position]).reshape(
            [-1 if dim == position else 1 for dim in range(len(widths))]
        )
    place_type = ir.RankedTensorType.get(list(offsets.shape), kind.element_type)
    text = f"dense<{offsets.tolist()}> : {place_type}"
    places = create("constant", [place_type], [], value=ir.Attribute.parse(text))
    dims = ir.DenseI64ArrayAttr.get(list(range(len(shape), len(shape) + len(widths) + 1)))
    places = create("broadcast_in_dim", [result], [places], broadcast_dimensions=dims)
    return create("add", [result], [starts, places])


def _transpose(value: Any, order: list[int]) -> Any:
    from iree.compiler import ir

    kind = ir.RankedTensorType(value.type)
    if order == list(range(kind.rank)):
        return value
    result = ir.RankedTensorType.get([kind.shape[dim] for dim in order], kind.element_type)
    return create("transpose", [result], [value], permutation=ir.DenseI64ArrayAttr.get(order))
