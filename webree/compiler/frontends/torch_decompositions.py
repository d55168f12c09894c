"""Which PyTorch operators are written out by torch before import: those that the compiler's torch conversions lack.

Enters: an `ExportedProgram` as torch.export made it (or a file held it). Leaves: a functional one, without mutation,
in the operators that the conversions know.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch._decomp import get_decompositions

__all__ = ["decompose"]

# In ATen's names; all overloads of each.
_WRITTEN_OUT = (
    "_adaptive_avg_pool2d",
    "_euclidean_dist",
    "_log_softmax_backward_data",
    "_native_batch_norm_legit",
    "_native_batch_norm_legit_functional",
    "_native_batch_norm_legit_no_training",
    "_prelu_kernel",
    "_softmax_backward_data",
    "_to_copy",
    "_unsafe_index",
    "_unsafe_masked_index",
    "_unsafe_masked_index_put_accumulate",
    "addmm",
    "binary_cross_entropy",
    "col2im",
    "diag",
    "dot",
    "einsum",
    "full",
    "grid_sampler_2d",
    "im2col",
    "index_copy",
    "linspace",
    "log_sigmoid_forward",
    "logsumexp",
    "lstm",
    "gru",
    "masked_fill",
    "nan_to_num",
    "native_batch_norm",
    "native_batch_norm_backward",
    "native_group_norm",
    "native_layer_norm",
    "native_layer_norm_backward",
    "nll_loss_backward",
    "nll_loss_forward",
    "norm",
    "rnn_relu",
    "rnn_tanh",
    "select_backward",
    "slice_backward",
    "soft_margin_loss",
    "split",
    "split_with_sizes",
    "squeeze",
    "t",
    "tanh_backward",
    "threshold_backward",
    "triu",
    "unbind",
    "unsafe_split",
    "upsample_bilinear2d",
    "upsample_nearest2d",
)


def decompose(program: Any, is_known: Callable[[str], bool]) -> Any:
    """The program without mutation, and without the operators of the table and those that `is_known` does not know by
    their names in the torch dialect (`torch.aten.add.Tensor`), as far as torch can write them out."""
    torchs_own = torch.export.default_decompositions()
    packets = [getattr(torch.ops.aten, name) for name in _WRITTEN_OUT]
    chosen = dict(get_decompositions(packets))
    for operator in torchs_own:
        if operator.overloadpacket in packets or not is_known(_dialect_name(operator)):
            chosen.setdefault(operator, torchs_own[operator])
    return program.run_decompositions({**chosen, **_OWN})


def _dialect_name(operator: Any) -> str:
    schema = operator._schema
    overload = f".{schema.overload_name}" if schema.overload_name else ""
    return f"torch.{schema.name.replace('::', '.')}{overload}"


def _attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """Attention as matrix products, as `torch.nn.functional.scaled_dot_product_attention` defines it: a row without a
    key to look at gives zeros. The compiler's own conversion takes masks of the query's rank only."""
    if enable_gqa:
        repeats = query.size(-3) // key.size(-3)
        key, value = key.repeat_interleave(repeats, -3), value.repeat_interleave(repeats, -3)
    factor = scale if scale is not None else query.size(-1) ** -0.5
    scores = torch.matmul(query * factor, key.transpose(-2, -1))
    if is_causal:
        rows, columns = torch.arange(query.size(-2)), torch.arange(key.size(-2))
        attn_mask = columns <= rows.unsqueeze(-1)
    if attn_mask is None:
        weights = torch.softmax(scores, -1)
    elif attn_mask.dtype == torch.bool:
        weights = torch.softmax(scores.masked_fill(~attn_mask, torch.finfo(scores.dtype).min), -1)
        weights = torch.where(attn_mask.any(-1, keepdim=True), weights, 0.0)
    else:
        weights = torch.softmax(scores + attn_mask, -1)
    if dropout_p:
        weights = torch.dropout(weights, dropout_p, True)
    return torch.matmul(weights, value)


def _average_pool_gradient(
    gradient: Any,
    source: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    """Each element of the gradient goes to its whole window, in equal parts: a transposed convolution with ones."""
    *batch, height, width = source.shape
    kernel, steps, pads = (_pair(value) for value in (kernel_size, stride or kernel_size, padding))
    if divisor_override is not None:
        gradient = gradient / divisor_override
    elif not ceil_mode and (count_include_pad or not any(pads)):
        gradient = gradient / (kernel[0] * kernel[1])
    elif not count_include_pad or not any(pads):
        ones = source.new_ones((1, 1, height, width))
        gradient = gradient / torch.nn.functional.avg_pool2d(ones, kernel, steps, pads, ceil_mode, False, 1)[0, 0]
    else:
        raise NotImplementedError("the gradient of avg_pool2d with ceil_mode, padding and count_include_pad")
    planes = gradient.reshape(-1, 1, *gradient.shape[-2:])
    extra = [
        extent - ((count - 1) * step - 2 * pad + size)
        for extent, count, step, pad, size in zip((height, width), planes.shape[-2:], steps, pads, kernel, strict=True)
    ]
    padded = [max(0, value) for value in extra]
    filled = torch.ops.aten.convolution(
        planes, planes.new_ones((1, 1, *kernel)), None, steps, pads, [1, 1], True, padded, 1
    )
    return filled[..., :height, :width].reshape(*batch, height, width)


def _embedding_gradient(
    gradient: Any, indices: Any, num_weights: int, padding_idx: int, scale_grad_by_freq: bool
) -> Any:
    """Rows of the gradient are added to the rows of the table that they were read from."""
    if scale_grad_by_freq:
        raise NotImplementedError("the gradient of embedding with scale_grad_by_freq")
    width = gradient.shape[-1]
    if padding_idx >= 0:
        gradient = torch.where((indices == padding_idx).unsqueeze(-1), 0.0, gradient)
    table = gradient.new_zeros((num_weights, width))
    return table.index_put((indices.reshape(-1),), gradient.reshape(-1, width), accumulate=True)


def _cross_entropy(
    source: Any,
    target: Any,
    weight: Any = None,
    reduction: int = 1,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Any:
    """With classes as targets; other forms take torch's own way."""
    if weight is not None or label_smoothing or target.is_floating_point() or source.dim() < 2:
        return NotImplemented
    counted = target != ignore_index
    chosen = torch.where(counted, target, 0).unsqueeze(1)
    losses = torch.where(counted, -torch.log_softmax(source, 1).gather(1, chosen).squeeze(1), 0.0)
    if reduction == 0:
        return losses
    return losses.sum() if reduction == 2 else losses.sum() / counted.sum()


def _gelu(source: Any, *, approximate: str = "none") -> Any:
    """The approximation by tanh, for which the compiler's own conversion computes the exact function."""
    if approximate != "tanh":
        return NotImplemented
    return 0.5 * source * (1 + torch.tanh(0.7978845608028654 * (source + 0.044715 * source * source * source)))


def _prelu(source: Any, weight: Any) -> Any:
    """The slope of each channel; the compiler's own conversion takes the last dimension for the channels."""
    if source.dim() > 1 and weight.numel() > 1:
        weight = weight.reshape(-1, *[1] * (source.dim() - 2))
    return torch.where(source > 0, source, weight * source)


def _split(source: Any, split_size: Any, dim: int = 0) -> Any:
    """Slices; where other dimensions are open torch writes views by strides instead, which no tensor has here."""
    extent = source.shape[dim]
    if not isinstance(extent, int) or not isinstance(split_size, int):
        return NotImplemented
    count = max(1, -(-extent // max(1, split_size)))
    return _split_with_sizes(source, [min(split_size, extent - part * split_size) for part in range(count)], dim)


def _split_with_sizes(source: Any, split_sizes: Any, dim: int = 0) -> Any:
    parts, start = [], 0
    for size in split_sizes:
        parts.append(torch.ops.aten.slice.Tensor(source, dim, start, start + size))
        start += size
    return parts


def _index(source: Any, indices: Any) -> Any:
    """A mask as the places where it is set; on a mask itself the compiler's conversion never ends. Where it is the only
    index the dimensions that it covers are one, so that there is one list of places."""
    masks = [index for index in indices if index is not None and index.dtype == torch.bool]
    if not masks:
        return NotImplemented
    if len(indices) == 1 and masks[0].dim():
        rows = source.flatten(0, masks[0].dim() - 1)
        return rows.index_select(0, torch.nonzero(masks[0].flatten()).squeeze(1))
    places: list[Any] = []
    for index in indices:
        places += torch.nonzero(index).unbind(1) if index is not None and index.dtype == torch.bool else [index]
    return torch.ops.aten.index.Tensor(source, places)


def _index_put(source: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
    """Negative indices count from the end; the compiler's own conversion takes them as they are. Masks it knows."""
    if any(index is not None and index.dtype == torch.bool for index in indices):
        return NotImplemented
    wrapped = [
        index if index is None else torch.where(index < 0, index + source.shape[dim], index)
        for dim, index in enumerate(indices)
    ]
    return torch.ops.aten._index_put_impl.default(source, wrapped, values, accumulate, False)


def _instance_norm(
    source: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Any:
    """Each channel is a group; the compiler's own conversion wants a weight and a bias."""
    if not use_input_stats or running_mean is not None or running_var is not None:
        return NotImplemented
    return torch.group_norm(source, source.shape[1], weight, bias, eps)


def _roll(source: Any, shifts: Any, dims: Any = ()) -> Any:
    """Without dimensions all elements in their order."""
    if dims:
        return NotImplemented
    return torch.roll(source.flatten(), shifts, 0).view(source.shape)


def _magnitude(source: Any) -> Any:
    """Of complex numbers, which the compiler's own conversion takes for real ones."""
    if not source.is_complex():
        return NotImplemented
    return torch.sqrt(source.real * source.real + source.imag * source.imag)


def _pad(source: Any, pad: Any, mode: str = "constant", value: float | None = None) -> Any:
    """Circular padding, from the last dimension on: the other end stands before and behind."""
    if mode != "circular":
        return NotImplemented
    for step in range(len(pad) // 2):
        dim, (before, behind) = source.dim() - 1 - step, pad[2 * step : 2 * step + 2]
        extent = source.shape[dim]
        if before < 0 or behind < 0:
            return NotImplemented
        parts = [source.narrow(dim, extent - before, before)] if before else []
        parts += [source, *([source.narrow(dim, 0, behind)] if behind else [])]
        source = torch.cat(parts, dim)
    return source


def _pair(value: Any) -> list[int]:
    values = list(value)
    return values * 2 if len(values) == 1 else values


_OWN = {
    torch.ops.aten.scaled_dot_product_attention.default: _attention,
    torch.ops.aten.avg_pool2d_backward.default: _average_pool_gradient,
    torch.ops.aten.cross_entropy_loss.default: _cross_entropy,
    torch.ops.aten.gelu.default: _gelu,
    torch.ops.aten.prelu.default: _prelu,
    torch.ops.aten.embedding_dense_backward.default: _embedding_gradient,
    torch.ops.aten.index.Tensor: _index,
    torch.ops.aten.index_put.default: _index_put,
    torch.ops.aten.instance_norm.default: _instance_norm,
    torch.ops.aten.abs.default: _magnitude,
    torch.ops.aten.pad.default: _pad,
    torch.ops.aten.roll.default: _roll,
    torch.ops.aten.split.Tensor: _split,
    torch.ops.aten.split_with_sizes.default: _split_with_sizes,
    torch.ops.aten.__and__.Tensor: torch.bitwise_and,
    torch.ops.aten.__or__.Tensor: torch.bitwise_or,
    torch.ops.aten.__xor__.Tensor: torch.bitwise_xor,
}
