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
    return program.run_decompositions(dict(get_decompositions(packets)))
