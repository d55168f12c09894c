"""StableHLO operations as JAX writes them: name -> function and the kinds of its inputs.

A kind is (NumPy dtype, shape), or (int32, shape, low, high) for integers below `high`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

__all__ = ["ROWS", "random_inputs"]

Kind = tuple[Any, ...]
IMAGE = ("NHWC", "HWIO", "NHWC")


def floats(*shape: int) -> Kind:
    return np.float32, shape


def integers(*shape: int, low: int = -9, high: int = 9) -> Kind:
    return np.int32, shape, low, high


def random_inputs(kinds: tuple[Kind, ...], seed: int) -> list[Any]:
    random = np.random.default_rng(seed)
    values: list[Any] = []
    for dtype, shape, *limits in kinds:
        if limits:
            values.append(np.asarray(random.integers(limits[0], limits[1], shape), dtype))
        else:
            values.append(np.asarray(random.standard_normal(shape), dtype))
    return values


def loop_of_run_time(n: Any, x: Any) -> Any:
    return lax.fori_loop(0, n, lambda i, c: lax.cond(i % 2 == 0, lambda v: v * 1.5, lambda v: v - 1.0, c), x)


def until_large(x: Any) -> Any:
    return lax.while_loop(lambda c: jnp.sum(c[0]) < 1e3, lambda c: (c[0] * 1.7 + 0.3, c[1] + 1), (jnp.abs(x), 0))


def one_of(k: Any, x: Any) -> Any:
    return lax.switch(k, [lambda v: v + 1, lambda v: v * 3, lambda v: -v], x)


def scan(c: Any, xs: Any) -> Any:
    return lax.scan(lambda c, x: (jnp.tanh(c + x), c * x), c, xs)


def pool(x: Any) -> Any:
    sums = lax.reduce_window(
        x, 0.0, lax.add, (1, 3, 2, 1), (1, 1, 2, 1), ((0, 0), (2, 1), (0, 3), (0, 0)), None, (1, 2, 3, 1)
    )
    return sums, lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "SAME")


def pool_gradient(x: Any) -> Any:
    def loss(v: Any) -> Any:
        return jnp.sum(jnp.sin(lax.reduce_window(v, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "SAME")))

    return jax.grad(loss)(x)


def gather_slices(t: Any, i: Any) -> Any:
    return lax.gather(t, i, lax.GatherDimensionNumbers((1, 2), (), (0, 1)), (3, 2))


def scatter_windows(t: Any, i: Any, u: Any) -> Any:
    return lax.scatter_add(t, i * 3, u, lax.ScatterDimensionNumbers((1, 2), (), (0,)))


def grouped(x: Any, w: Any) -> Any:
    return lax.conv_general_dilated(x, w, (1, 1), "SAME", feature_group_count=2, dimension_numbers=IMAGE)


def transposed(x: Any, w: Any) -> Any:
    return lax.conv_general_dilated(
        x, w, (1, 1), ((2, 1), (1, 2)), lhs_dilation=(2, 3), rhs_dilation=(2, 1), dimension_numbers=IMAGE
    )


def weight_gradient(x: Any, w: Any) -> Any:
    def loss(w: Any) -> Any:
        return jnp.sum(lax.conv_general_dilated(x, w, (2, 2), "SAME", dimension_numbers=IMAGE) ** 2)

    return jax.grad(loss)(w)


def random_numbers(s: Any) -> Any:
    key = jax.random.key(s)
    return (
        jax.random.uniform(key, (7, 5)),
        jax.random.normal(key, (9,)),
        jax.random.randint(key, (9,), 0, 77),
        jax.random.permutation(key, 12),
    )


def parts(z: Any) -> Any:
    return z.real, z.imag


ROWS: Mapping[str, tuple[Callable[..., Any], tuple[Kind, ...]]] = {
    "while_of_run_time": (loop_of_run_time, (integers(low=3, high=9), floats(4))),
    "while_until_large": (until_large, (floats(8),)),
    "case": (one_of, (integers(low=-1, high=4), floats(5))),
    "scan": (scan, (floats(4), floats(5, 4))),
    "reduce_window": (pool, (floats(1, 9, 12, 2),)),
    "select_and_scatter": (pool_gradient, (floats(1, 9, 9, 2),)),
    "reduce_bitwise": (lambda x: (jnp.bitwise_or.reduce(x, 0), jnp.bitwise_xor.reduce(x, 1)), (integers(5, 6),)),
    "cumulative": (lambda x: (lax.cumlogsumexp(x, 1), lax.cummin(x, 0, reverse=True)), (floats(5, 7),)),
    "sort_two_keys": (
        lambda k, v, w: lax.sort((k, v, w), num_keys=2),
        (integers(30, low=0, high=4), *[floats(30)] * 2),
    ),
    "argsort": (jnp.argsort, (integers(30, low=0, high=6),)),
    "top_k": (lambda x: lax.top_k(x, 5), (floats(4, 20),)),
    "gather_clip": (lambda t, i: t.at[i].get(mode="clip"), (floats(8), integers(12, low=-30, high=30))),
    "gather_fill": (lambda t, i: t.at[i].get(mode="fill", fill_value=7), (floats(8), integers(12, low=-9, high=14))),
    "gather_slices": (gather_slices, (floats(8, 9), integers(5, 2, low=-3, high=12))),
    "gather_batch": (jax.vmap(lambda a, b: a[b]), (floats(3, 8, 4), integers(3, 5, low=0, high=8))),
    "scatter_add": (lambda t, i, u: t.at[i].add(u), (floats(10, 4), integers(12, low=-20, high=20), floats(12, 4))),
    "scatter_max": (lambda t, i, u: t.at[i].max(u), (floats(10), integers(12, low=0, high=10), floats(12))),
    "scatter_windows": (scatter_windows, (floats(12, 9), integers(3, 1, low=0, high=3), floats(3, 2, 9))),
    "dynamic_slice": (lambda t, i: lax.dynamic_slice(t, (i[0], i[1]), (3, 4)), (floats(8, 9), integers(2))),
    "dynamic_update": (
        lambda t, u, i: lax.dynamic_update_slice(t, u, (i[0], i[1])),
        (floats(8, 9), floats(3, 4), integers(2)),
    ),
    "dot_general": (lambda a, b: jnp.einsum("ibk,jkb->bij", a, b), (floats(5, 3, 4), floats(6, 4, 3))),
    "convolution_grouped": (grouped, (floats(1, 7, 7, 4), floats(3, 3, 2, 6))),
    "convolution_transposed": (transposed, (floats(1, 5, 5, 2), floats(3, 3, 2, 4))),
    "convolution_gradient": (weight_gradient, (floats(1, 7, 7, 2), floats(3, 3, 2, 4))),
    "rng": (random_numbers, (integers(low=0, high=1000),)),
    "rfft": (lambda x: parts(jnp.fft.rfft(x)), (floats(4, 16),)),
    "irfft": (lambda a, b: jnp.fft.irfft(lax.complex(a, b)), (floats(3, 9), floats(3, 9))),
    "fft_of_two_dimensions": (lambda a, b: parts(jnp.fft.fft2(lax.complex(a, b))), (floats(8, 6), floats(8, 6))),
    "rfft_of_length_12": (lambda x: parts(jnp.fft.rfft(x)), (floats(2, 12),)),
    "irfft_of_length_15": (lambda a, b: jnp.fft.irfft(lax.complex(a, b), 15), (floats(2, 8), floats(2, 8))),
    "pad": (lambda x: lax.pad(x, 9.0, ((1, 2, 1), (0, -1, 2))), (floats(4, 5),)),
    "complex": (lambda a, b: jnp.abs(lax.complex(a, b) ** 2 + 1 / lax.complex(a, b)), (floats(6), floats(6))),
}
