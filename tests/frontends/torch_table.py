"""PyTorch functions and modules for the tests: name -> (function or module, inputs), each small.

Enters: a seed, by torch's generator. Leaves: fresh inputs, in ranges where f32 says something. In groups, each of which
becomes one webree module of many functions.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

__all__ = ["GROUPS", "rows"]

GROUPS = ("elementwise", "shapes", "reductions", "layers", "recurrent")


class Encoder(nn.Module):
    """A transformer's block, as nn.TransformerEncoderLayer is in training, with a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True, norm_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x, nn.Transformer.generate_square_subsequent_mask(x.shape[1]))


class Cnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1, bias=False),
            nn.BatchNorm2d(4),
            nn.SiLU(),
            nn.MaxPool2d(2),
            nn.AdaptiveAvgPool2d(1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x).flatten(1)


def elementwise() -> dict[str, Any]:
    x, y, i = torch.randn(3, 5), torch.randn(3, 5), torch.randint(-9, 9, (3, 5))
    positive = x.abs() + 0.1
    return {
        "arithmetic": (lambda x, y: (x + 2 * y, x / (y * y + 1), x - y, -x, torch.remainder(x, 2.5)), (x, y)),
        "powers": (lambda p: (p.sqrt(), p.rsqrt(), p**1.7, p.log(), p.log2(), p.reciprocal()), (positive,)),
        "trigonometry": (lambda x: (x.sin(), x.cos(), x.atan(), x.tanh(), torch.atan2(x, x + 3)), (x,)),
        "activations": (
            lambda x: (
                functional.gelu(x),
                functional.gelu(x, approximate="tanh"),
                functional.silu(x),
                functional.elu(x),
                functional.leaky_relu(x, 0.1),
                functional.hardswish(x),
                functional.softplus(x),
                functional.mish(x),
                functional.logsigmoid(x),
            ),
            (x,),
        ),
        "integers": (lambda i: (i + 7, i // 3, i % 4, i * i, i.abs(), i.clamp(-2, 5), i << 2, i & 5), (i,)),
        "comparisons": (lambda x, y: (x > y, x == x, torch.where(x > y, x, y), torch.isnan(x), ~(x < 0)), (x, y)),
        "rounding": (lambda x: (x.round(), x.floor(), x.ceil(), x.trunc(), x.frac(), x.sign()), (3 * x,)),
        "conversions": (lambda x, i: (x.to(torch.int32), i.float(), x.half().float(), (x > 0).int(), i.bool()), (x, i)),
        "halves": (lambda x: (x * 2 + 1, x.float().exp()), (torch.randn(3, 5).half(),)),
        "erf": (lambda x: (x.erf(), x.exp(), x.expm1(), x.sigmoid()), (x,)),
    }


def shapes() -> dict[str, Any]:
    x, y = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    index, rows = torch.randint(0, 3, (2, 2, 4)), torch.tensor([2, 0, 1, 1])
    return {
        "views": (lambda x: (x.permute(2, 0, 1), x.reshape(6, 4), x.flatten(), x[:, 1:, ::2], x.unsqueeze(1)), (x,)),
        "joins": (lambda x, y: (torch.cat([x, y], 1), torch.stack([x, y]), torch.hstack([x, y])), (x, y)),
        "splits": (lambda x: (*x.chunk(2, -1), *x.unbind(1), *torch.split(x, [1, 3], 2)), (x,)),
        "pads": (
            lambda x: (functional.pad(x, (1, 2, 0, 1), value=3.0), functional.pad(x, (1, 1), mode="reflect")),
            (x,),
        ),
        "circular": (lambda x: (functional.pad(x, (1, 2), mode="circular"), x.roll(3)), (x,)),
        "folds": (lambda x: functional.fold(x, (4, 5), 2, stride=(2, 1)), (torch.randn(2, 8, 8),)),
        "magnitude": (lambda x: torch.view_as_complex(x.reshape(2, 3, 2, 2)).abs(), (x,)),
        "gather": (lambda x, i: (torch.gather(x, 1, i), torch.take_along_dim(x, i, 1)), (x, index)),
        "scatter": (lambda x, i, y: (x.scatter(1, i, y[:, :2]), x.scatter_add(1, i, y[:, :2])), (x, index, y)),
        "parts put into": (
            lambda x, r: (x[0].index_put((r[:2],), x[1, :2]), x[1].index_add(0, r, x.flatten(0, 1)[:4])),
            (x, rows),
        ),
        "put from the end": (
            lambda x, r: (x.index_put((r[:2] - 3, r[2:]), x[0, :2]), x.index_put((r - 2,), x[0], accumulate=True)),
            (x, torch.tensor([1, 2, 0])),
        ),
        "rows": (lambda x, r: (x[:, r % 3], torch.index_select(x, 2, r), functional.embedding(r, x[0])), (x, rows)),
        "fills": (lambda x: (x.masked_fill(x > 0, -1.0), torch.full_like(x, 2.0), x.new_zeros(3)), (x,)),
        "rolls": (lambda x: (x.roll(1, 2), x.flip(1), x.repeat(1, 2, 1), x.expand(3, 2, 3, 4), x.tile(2)), (x,)),
        "triangles": (lambda x: (x.tril(), x.triu(1), torch.eye(3) + x[..., :3], torch.arange(4) * x), (x,)),
        "upsampled": (
            lambda x: (
                functional.interpolate(x[None], scale_factor=2, mode="nearest"),
                functional.interpolate(x[None], size=(5, 7), mode="bilinear", align_corners=False),
            ),
            (x,),
        ),
        "einsum": (lambda x, y: (torch.einsum("bij,bkj->bik", x, y), torch.einsum("bij->j", x)), (x, y)),
    }


def reductions() -> dict[str, Any]:
    x, y = torch.randn(4, 6), torch.randn(6, 3)
    return {
        "sums": (lambda x: (x.sum(), x.mean(1), x.prod(0), x.var(1), x.std(), x.norm(dim=1)), (x,)),
        "extremes": (lambda x: (x.max(), x.amin(1), *x.max(dim=1), x.argmin(0), x.any(), (x > -9).all()), (x,)),
        "softmax": (lambda x: (x.softmax(1), x.log_softmax(0), torch.logsumexp(x, 1)), (x,)),
        "scans": (lambda x: (x.cumsum(1), (x > 0).long().cumsum(0)), (x,)),
        "sorted": (lambda x: (*x.sort(dim=1), *torch.topk(x, 3, dim=1), x.argsort(1)), (x,)),
        "products": (
            lambda x, y: (x @ y, torch.mv(x, y[:, 0]), torch.outer(x[0], y[0]), torch.dot(x[0], x[1])),
            (x, y),
        ),
        "batched": (
            lambda a, b: (torch.bmm(a, b), torch.baddbmm(a @ b, a, b)),
            (torch.randn(2, 3, 4), torch.randn(2, 4, 5)),
        ),
        "losses": (
            lambda x, t: (
                functional.cross_entropy(x, t),
                functional.mse_loss(x, x.flip(0)),
                functional.smooth_l1_loss(x, x.flip(1)),
                functional.binary_cross_entropy_with_logits(x, x.sigmoid()),
            ),
            (x, torch.tensor([0, 5, 2, 3])),
        ),
        "distances": (lambda x: (functional.cosine_similarity(x[:2], x[2:]), functional.normalize(x)), (x,)),
    }


def layers() -> dict[str, Any]:
    image, line = torch.randn(2, 4, 6, 6), torch.randn(2, 4, 9)
    return {
        "convolutions": (
            nn.Sequential(nn.Conv2d(4, 6, 3, 2, 1), nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=3)),
            (image,),
        ),
        "transposed": (nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1, output_padding=1), (image,)),
        "one_dimension": (nn.Sequential(nn.Conv1d(4, 3, 3), nn.MaxPool1d(2)), (line,)),
        "pools": (lambda x: (functional.avg_pool2d(x, 2), functional.max_pool2d(x, 3, 2, 1), x.mean((2, 3))), (image,)),
        "group_norm": (nn.GroupNorm(2, 4), (image,)),
        "instance_norm": (nn.InstanceNorm2d(4, affine=True), (image,)),
        "instance_norm_plain": (nn.InstanceNorm2d(4), (image,)),
        "layer_norm": (nn.LayerNorm(9), (line,)),
        "rms_norm": (nn.RMSNorm(9, eps=1e-5), (line,)),
        "embedding": (nn.Embedding(10, 4, padding_idx=0), (torch.randint(0, 10, (2, 5)),)),
        "prelu": (nn.PReLU(4), (image,)),
        "cnn": (Cnn().eval(), (torch.randn(2, 2, 8, 8),)),
        "encoder": (Encoder().train(), (torch.randn(2, 5, 16),)),
        "attention": (
            lambda q, k: functional.scaled_dot_product_attention(q, k, k, is_causal=True),
            (torch.randn(2, 3, 5, 4), torch.randn(2, 3, 5, 4)),
        ),
    }


def recurrent() -> dict[str, Any]:
    x = torch.randn(2, 4, 3)
    return {
        "lstm": (nn.LSTM(3, 5, batch_first=True), (x,)),
        "gru": (nn.GRU(3, 5, num_layers=2, bidirectional=True, batch_first=True), (x,)),
        "rnn": (nn.RNN(3, 5, batch_first=True), (x,)),
        "lstm_cell": (nn.LSTMCell(3, 5), (x[0], (torch.randn(4, 5), torch.randn(4, 5)))),
    }


def rows(group: str) -> dict[str, Any]:
    """The rows of one of `GROUPS`."""
    table: dict[str, Any] = globals()[group]()
    return table
