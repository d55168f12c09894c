"""JAX functions: signatures, several functions in one module, files, errors. Operations: test_jax_ops.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

import webree
from tests.conftest import Machine
from tests.frontends.running import compare, load_for
from webree.errors import CompileError, InvocationError, UsageError


def layer(parameters: dict[str, Any], x: jax.Array, unused: jax.Array) -> dict[str, Any]:
    y = x @ parameters["w"] + parameters["b"]
    return {"y": y, "both": (jnp.tanh(y), y > 0)}


def random_layer(seed: int) -> tuple[Any, ...]:
    random = np.random.default_rng(seed)
    w, b, x = (random.standard_normal(shape, np.float32) for shape in ((5, 3), (3,), (4, 5)))
    return {"w": w, "b": b}, x, np.arange(3, dtype=np.uint8)


def test_pytrees(machine: Machine, seed: int) -> None:
    print(f"seed {seed}")
    parameters, x, unused = random_layer(seed)
    module = load_for(machine, jax.jit(layer), (parameters, x, unused))
    assert str(module.main.signature) == (
        "main(parameters_b: 3xf32, parameters_w: 5x3xf32, x: 4x5xf32, unused: 3xui8) -> "
        "(both_0: 4x3xf32, both_1: 4x3xi1, y: 4x3xf32)"
    )
    expected = jax.tree.leaves(layer(parameters, x, unused))
    actual = module.main(parameters["b"], parameters["w"], x, unused)
    compare("layer", actual, expected, 1e-5, 1e-6)
    named = module.main(x=x, unused=unused, parameters_w=parameters["w"], parameters_b=parameters["b"])
    compare("layer by names", named, expected, 1e-5, 1e-6)


def test_several_functions(machine: Machine) -> None:
    """Private functions of the same name in two of them, constants that both close over."""
    table = np.arange(12, dtype=np.float32).reshape(3, 4)

    def first(x: jax.Array) -> jax.Array:
        return jnp.cumsum(x @ table, axis=1)

    def second(x: jax.Array) -> jax.Array:
        return jnp.cumsum(x - table, axis=1)

    x, y = np.ones((2, 3), np.float32), np.ones((3, 4), np.float32)
    module = load_for(machine, {"first": (jax.jit(first), x), "second": (second, (jnp.asarray(y),))})
    compare("first", module.first(x), [first(x)], 1e-6, 1e-6)
    compare("second", module.second(y), [second(y)], 1e-6, 1e-6)


def test_exported_file(tmp_path: Path, machine: Machine) -> None:
    x = np.linspace(-1, 1, 6, dtype=np.float32)
    exported = jax.export.export(jax.jit(lambda x: jnp.sin(x) * 2))(x)
    path = tmp_path / "model.jaxexport"
    path.write_bytes(exported.serialize())
    for source in (exported, path, jax.jit(lambda x: jnp.sin(x) * 2).lower(x)):
        compare(str(source)[:20], load_for(machine, source).main(x), [np.sin(x) * 2], 1e-5, 1e-6)


def test_open_sizes_fit_together() -> None:
    """Symbolic sizes, and what they promise of each other, which no operation here sees."""
    specs = jax.export.symbolic_args_specs((jnp.ones((2, 3)), jnp.ones((2, 3))), ("b, 3", "2*b, 3"))
    exported = jax.export.export(jax.jit(lambda x, y: (x.sum(0), y.sum(0))))(*specs)
    module = webree.load(webree.compile(exported, target="cpu"), device="wasm")
    x, y = np.ones((2, 3), np.float32), np.ones((4, 3), np.float32)
    compare("sums", module.main(x, y), [x.sum(0), y.sum(0)], 1e-6, 0)
    with pytest.raises(InvocationError, match=r"is 2\*b in the model, so it must be a multiple of 2"):
        module.main(x, y[:3])
    with pytest.raises(InvocationError, match=r"'arg1' .* 'arg0' are 2\*b and b in the model, and do not fit together"):
        module.main(x, y[:2])


def _attention(x: jax.Array, weights: jax.Array) -> jax.Array:
    query, key, value = (
        part.reshape(*x.shape[:2], 2, 4).transpose(0, 2, 1, 3) for part in jnp.split(x @ weights, 3, -1)
    )
    scores = jax.nn.softmax(query @ key.transpose(0, 1, 3, 2), -1)
    return (scores @ value).transpose(0, 2, 1, 3).reshape(*x.shape)


def test_operations_of_open_sizes(machine: Machine, seed: int) -> None:
    """What JAX writes with sizes as operands: reshapes, products, broadcasts, slices, each for two sets of sizes."""

    def function(x: jax.Array, y: jax.Array, weights: jax.Array) -> tuple[jax.Array, ...]:
        return (
            _attention(x, weights),
            x.reshape(x.shape[0], -1) * 2,
            x.reshape(-1),
            y.reshape(-1, 2, 3).sum(1),
            y[: y.shape[0] // 2],
            y[1:, 2:] + jnp.arange(1, y.shape[0])[:, None],
        )

    random = np.random.default_rng(seed)
    weights = random.standard_normal((8, 24), np.float32)
    arrays = jnp.ones((2, 3, 8)), jnp.ones((7, 6)), weights
    specs = jax.export.symbolic_args_specs(arrays, ("b, t, 8", "n, 6", "8, 24"))
    exported = jax.export.export(jax.jit(function))(*specs)
    module = load_for(machine, exported)
    for b, t, n in ((2, 5, 7), (1, 9, 4)):
        x, y = random.standard_normal((b, t, 8), np.float32), random.standard_normal((n, 6), np.float32)
        compare("open sizes", module.main(x, y, weights), function(x, y, weights), 1e-5, 1e-5)


def test_sharding_and_typed_keys() -> None:
    """Both leave words of a dialect that the compiler does not have."""
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])

    def function(key: jax.Array, x: jax.Array) -> jax.Array:
        return jnp.where(jax.random.bernoulli(key, 0.5, x.shape), jax.lax.with_sharding_constraint(x, here), 0)

    key, x = jax.random.key(7), np.ones((4, 5), np.float32)
    module = webree.load(webree.compile(jax.jit(function), (key, x), target="cpu"), device="wasm")
    compare("dropped", module.main(np.asarray(jax.random.key_data(key)), x), [function(key, x)], 0, 0)


def test_library_calls_are_refused_by_name() -> None:
    with pytest.raises(
        CompileError, match=r"^cholesky: the JAX function calls lapack_\w+ of LAPACK, which lies outside"
    ):
        webree.compile(jax.jit(jnp.linalg.cholesky), (np.eye(4, dtype=np.float32),))


@pytest.mark.parametrize(
    ("source", "arguments", "options", "message"),
    [
        (jax.jit(layer), (), {}, "a JAX function is compiled with example inputs"),
        (layer, ((1, 2),), {}, "torch.Tensor for PyTorch, jax.Array or jax.ShapeDtypeStruct for JAX"),
        (jax.jit(layer), ((1, 2, 3),), {"dims": {"n": 1}}, "dims are for ONNX models (given: n)"),
        (jax.jit(layer), ((1, 2, 3),), {"dynamic_shapes": {}}, "dynamic_shapes is for PyTorch"),
        ({"f": (jax.jit(layer), (1, 2)), "g": "x"}, (), {}, "'g' is a str; give a PyTorch module"),
        ({}, (), {}, "come from one framework; found none"),
    ],
)
def test_usage(source: Any, arguments: tuple[Any, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        webree.compile(source, *arguments, **options)
    assert message in str(caught.value)


def test_what_jax_cannot_export() -> None:
    with pytest.raises(CompileError, match=r"JAX cannot export layer: .*TypeError"):
        webree.compile(jax.jit(layer), (jnp.ones(3), jnp.ones((2, 2)), 1))
