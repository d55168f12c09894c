"""Which PyTorch operators are written out by torch before import: those that the compiler's torch conversions lack.

Enters: an `ExportedProgram` as torch.export made it (or a file held it). Leaves: a functional one, without mutation,
in the operators that the conversions know.
"""

from __future__ import annotations

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
    "addmm",
    "binary_cross_entropy",
    "diag",
    "dot",
    "embedding_dense_backward",
    "full",
    "grid_sampler_2d",
    "im2col",
    "index_copy",
    "linspace",
    "log_sigmoid_forward",
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
)


def decompose(program: Any) -> Any:
    """The program with the operators of the table written out, and without mutation."""
    packets = [getattr(torch.ops.aten, name) for name in _WRITTEN_OUT]
    return program.run_decompositions({**get_decompositions(packets), **_OWN})


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


_OWN = {torch.ops.aten.scaled_dot_product_attention.default: _attention}
