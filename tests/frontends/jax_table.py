"""JAX functions for the tests: name -> (function, inputs), each small, in groups that become one module each.

Enters: a seed. Leaves: fresh inputs. Control flow, random bits, sorting, indexing, products and transforms.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

__all__ = ["GROUPS", "rows"]

GROUPS = ("elementwise", "indexing", "control", "products")


def elementwise(random: np.random.Generator) -> dict[str, Any]:
    x, y = random.standard_normal((2, 3, 5)).astype(np.float32)
    i = random.integers(-9, 9, (3, 5)).astype(np.int32)
    u = random.integers(0, 1 << 32, 8).astype(np.uint32)
    return {
        "arithmetic": (lambda x, y: (x + 2 * y, x / (y * y + 1), x % 2.5, x**2, jnp.maximum(x, y)), (x, y)),
        "functions": (lambda x: (jnp.exp(x), jnp.sin(x), jnp.tanh(x), jnp.sqrt(x * x + 1), jnp.log1p(x * x)), (x,)),
        "special": (lambda x: (lax.erf(x), jax.nn.gelu(x), jax.nn.softmax(x), jax.nn.silu(x), jax.nn.relu(x)), (x,)),
        "integers": (lambda i: (i // 3, i % 4, i << 2, i >> 1, i & 5, jnp.abs(i), jnp.sign(i), lax.clz(i)), (i,)),
        "unsigned": (lambda u: (u + 7, u >> 3, u * 3, lax.population_count(u), u > 9), (u,)),
        "conversions": (
            lambda x, i: (x.astype(jnp.int32), i.astype(jnp.float32), x.astype(jnp.float16), i > 0),
            (x, i),
        ),
        "threefry": (
            lambda seed: (
                jax.random.bits(jax.random.key(seed), (5,)),
                jax.random.uniform(jax.random.key(seed), (3, 4)),
                jax.random.normal(jax.random.key(seed), (7,)),
                jax.random.permutation(jax.random.key(seed), 6),
            ),
            (np.int32(random.integers(0, 99)),),
        ),
        "reductions": (
            lambda x: (x.sum(0), x.mean(), x.max(1), x.argmax(1), x.std(), jnp.prod(x, 1), (x > 0).any(0)),
            (x,),
        ),
        "scans": (lambda x: (jnp.cumsum(x, 1), jnp.cumprod(x, 0), lax.cummax(x, 1)), (x,)),
        "associative": (lambda x: lax.associative_scan(jnp.add, x, axis=1), (x,)),
    }


def indexing(random: np.random.Generator) -> dict[str, Any]:
    x, rows_ = random.standard_normal((4, 6)).astype(np.float32), random.integers(0, 4, 5).astype(np.int32)
    at = np.int32(random.integers(0, 4))
    return {
        # Not among the functions with float16: no module for WebGPU has both.
        "bfloat16": (lambda x: (x.astype(jnp.bfloat16) * 2).astype(jnp.float32), (x,)),
        "shapes": (
            lambda x: (x.T, x.reshape(3, 8), x[1:, ::2], jnp.pad(x, 1), jnp.flip(x, 1), jnp.roll(x, 2, 1)),
            (x,),
        ),
        "joins": (lambda x: (jnp.concatenate([x, x + 1]), jnp.stack([x, x]), *jnp.split(x, 2, 1)), (x,)),
        "gather": (lambda x, r: (x[r], jnp.take(x, r, 1, mode="clip"), x[r, r]), (x, rows_)),
        "scatter": (lambda x, r: (x.at[r].add(1.5), x.at[:, r].set(0.0), x.at[r, 0].max(0.0)), (x, rows_)),
        "dynamic": (
            lambda x, i: (lax.dynamic_slice(x, (i, 1), (2, 3)), lax.dynamic_update_slice(x, x[:2, :2], (i, i))),
            (x, at),
        ),
        "sort": (lambda x: (jnp.sort(x, 1), jnp.argsort(x, 0), *lax.top_k(x, 3), jnp.median(x)), (x,)),
        "sort_with_values": (lambda x: lax.sort((x[0], jnp.arange(6)), num_keys=1), (x,)),
        "where": (
            lambda x, r: (
                jnp.where(x > 0, x, -1),
                jnp.tril(x),
                jax.nn.one_hot(r, 4),
                jnp.searchsorted(jnp.arange(4), r),
            ),
            (x, rows_),
        ),
        "segments": (lambda x, r: jax.ops.segment_sum(x[:, 0], r[:4], 4), (x, rows_)),
    }


def control(random: np.random.Generator) -> dict[str, Any]:
    x, n = random.standard_normal((4, 6)).astype(np.float32), np.int32(random.integers(2, 6))

    def both(x: jax.Array) -> Any:
        """A loop and a kernel in place that read the same value."""
        y = jnp.exp(x)
        return jnp.sort(y), lax.fori_loop(0, 3, lambda _, a: jnp.tanh(a), y)

    return {
        "scan": (lambda x: lax.scan(lambda c, row: (c + row, jnp.sin(c)), jnp.zeros(6), x), (x,)),
        "while_loop": (lambda x: lax.while_loop(lambda a: a.sum() < 90, lambda a: a * a + 1, x), (x,)),
        "fori_loop": (lambda x, n: lax.fori_loop(0, n, lambda i, a: a + i, x), (x, n)),
        "cond": (lambda x, n: lax.cond(n > 3, lambda a: a + 1, lambda a: a * 2, x), (x, n)),
        "switch": (lambda x, n: lax.switch(n - 2, [lambda a: a, lambda a: -a, lambda a: a * 3], x), (x, n)),
        "map": (lambda x: lax.map(lambda row: row / row.sum(), x), (x,)),
        "associative_scan": (lambda x: lax.associative_scan(jnp.add, x), (x,)),
        "both": (both, (x,)),
        "gradient": (jax.grad(lambda x: jnp.sum(jnp.tanh(x) @ x.T)), (x,)),
    }


def products(random: np.random.Generator) -> dict[str, Any]:
    a, b = (random.standard_normal(shape).astype(np.float32) for shape in ((2, 3, 4), (2, 4, 5)))
    image, kernel = (random.standard_normal(shape).astype(np.float32) for shape in ((1, 2, 8, 8), (4, 2, 3, 3)))
    signal = random.standard_normal((2, 16)).astype(np.float32)
    return {
        "einsum": (lambda a, b: (jnp.einsum("bij,bjk->bik", a, b), jnp.einsum("bij,bjk->ki", a, b)), (a, b)),
        "dot_general": (lambda a, b: lax.dot_general(a, b, (((2,), (1,)), ((0,), (0,)))), (a, b)),
        "integer_dot": (lambda a, b: (a * 9).astype(jnp.int32)[0] @ (b * 9).astype(jnp.int32)[0], (a, b)),
        "vmap": (jax.vmap(lambda m, n: jnp.dot(m, n)), (a, b)),
        "convolution": (
            lambda x, k: lax.conv_general_dilated(x, k, (2, 2), "SAME", rhs_dilation=(2, 2)),
            (image, kernel),
        ),
        "transposed": (
            lambda x, k: lax.conv_transpose(x, k, (2, 2), "SAME", dimension_numbers=("NCHW", "IOHW", "NCHW")),
            (image, kernel[:2]),
        ),
        "windows": (
            lambda x: (
                lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID"),
                lax.reduce_window(x, 0.0, lax.add, (1, 1, 3, 3), (1, 1, 1, 1), "SAME"),
            ),
            (image,),
        ),
        "resized": (lambda x: jax.image.resize(x, (1, 2, 12, 5), "bilinear"), (image,)),
        "fft": (lambda x: (jnp.abs(jnp.fft.rfft(x)), jnp.fft.irfft(jnp.fft.rfft(x))), (signal,)),
        "interpolation": (lambda x: jnp.interp(x, jnp.linspace(-2.0, 2.0, 5), jnp.arange(5.0)), (signal,)),
    }


def rows(group: str, seed: int) -> dict[str, Any]:
    """The rows of one of `GROUPS`."""
    table: dict[str, Any] = globals()[group](np.random.default_rng(seed))
    return table
