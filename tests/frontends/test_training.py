"""Training steps, gradients and the optimiser's updates inside the module: the loss falls as the framework's does.

The compiled step and the framework start from the same values and see the same batches; after every step the losses
agree to 1e-3, relative. PyTorch keeps parameters and moments in the module's state, JAX passes them in and out as
arrays that stay on the device. Each model runs where it costs least, at least once on WebGPU.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.conftest import Machine
from tests.frontends.running import load_for

RELATIVE = 1e-3
CLASSES = 4


class Bert(torch.nn.Module):
    """Two encoder layers of width 64, and a classifier on their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.words = torch.nn.Embedding(100, 64)
        self.places = torch.nn.Parameter(torch.randn(16, 64) * 0.02)
        self.layers = torch.nn.ModuleList(
            torch.nn.TransformerEncoderLayer(64, 4, 128, 0.0, activation="gelu", batch_first=True) for _ in range(2)
        )
        self.out = torch.nn.Linear(64, CLASSES)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        x = self.words(words) + self.places
        for layer in self.layers:
            x = layer(x)
        return self.out(x.mean(1))


def mlp() -> torch.nn.Module:
    nn = torch.nn
    return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.GELU(), nn.LayerNorm(32), nn.Linear(32, 4))


def cnn() -> torch.nn.Module:
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, stride=2),
        nn.ReLU(),
        nn.AvgPool2d(3),
        nn.Flatten(),
        nn.Linear(16, CLASSES),
    )


MODELS: dict[str, tuple[Callable[[], torch.nn.Module], Callable[[], torch.Tensor], Callable[..., Any], int]] = {
    "mlp": (mlp, lambda: torch.randn(32, 8), lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9), 20),
    "cnn": (cnn, lambda: torch.randn(16, 1, 16, 16), lambda p: torch.optim.Adam(p, lr=3e-3), 10),
    "bert": (Bert, lambda: torch.randint(0, 100, (8, 16)), lambda p: torch.optim.AdamW(p, lr=1e-3), 10),
}


def check_losses(found: list[float], expected: list[float]) -> None:
    print(" ".join(f"{one:.5f}/{other:.5f}" for one, other in zip(found, expected, strict=True)))
    np.testing.assert_allclose(found, expected, rtol=RELATIVE)
    assert found[-1] < 0.97 * found[0], f"the loss does not fall: {found}"  # 0.94 at most, for 60 seeds of the CNN


def on(name: str, machine: str) -> Any:
    marks = [] if machine == "cpu" else [pytest.mark.native]
    return pytest.param(name, machine, marks=marks, id=f"{name}-{machine}")


@pytest.mark.parametrize(
    ("name", "machine"),
    [on("mlp", "lavapipe"), on("mlp", "cpu"), on("cnn", "swiftshader"), on("bert", "swiftshader")],
    indirect=["machine"],
)
def test_torch(machine: Machine, seed: int, name: str) -> None:
    """A step as anyone writes it; the same module also has a function that predicts with the weights so far."""
    print(f"seed {seed}")
    torch.manual_seed(seed)
    make_model, make_inputs, make_optimizer, steps = MODELS[name]
    model, inputs = make_model().train(), make_inputs()
    labels = torch.randint(0, CLASSES, (len(inputs),))
    optimizer = make_optimizer(model.parameters())

    def step(inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
        return loss

    def predict(inputs: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return model.eval()(inputs)

    module = load_for(machine, {"step": (step, (inputs, labels)), "predict": (predict, (inputs,))})
    assert model.training
    found, expected = [], []
    for _ in range(steps):
        found.append(float(module.step(inputs.numpy(), labels.numpy())))
        expected.append(step(inputs, labels).item())
    check_losses(found, expected)
    np.testing.assert_allclose(module.predict(inputs.numpy()), predict(inputs), rtol=0.02, atol=0.02)


@pytest.mark.parametrize(("name", "machine"), [on("mlp", "swiftshader"), on("mlp", "cpu")], indirect=["machine"])
def test_jax(machine: Machine, seed: int, name: str) -> None:
    """Adam on a perceptron of three layers; state goes in and out without leaving the device."""
    print(f"seed {seed}")
    random = np.random.default_rng(seed)
    sizes = [8, 32, 32, CLASSES]
    parameters = [
        {"w": random.standard_normal((m, n), np.float32) * np.float32(m**-0.5), "b": np.zeros(n, np.float32)}
        for m, n in pairwise(sizes)
    ]
    x, y = random.standard_normal((32, 8), np.float32), random.integers(0, CLASSES, 32).astype(np.int32)

    def loss(parameters: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        for layer in parameters[:-1]:
            x = jax.nn.gelu(x @ layer["w"] + layer["b"])
        logits = jax.nn.log_softmax(x @ parameters[-1]["w"] + parameters[-1]["b"])
        return -jnp.mean(jnp.take_along_axis(logits, y[:, None], 1))

    def step(state: Any, x: jax.Array, y: jax.Array) -> Any:
        value, gradient = jax.value_and_grad(loss)(state["p"], x, y)
        t = state["t"] + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, state["m"], gradient)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, state["v"], gradient)

        def update(p: jax.Array, m: jax.Array, v: jax.Array) -> jax.Array:
            return p - 0.01 * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)

        return {"p": jax.tree.map(update, state["p"], m, v), "m": m, "v": v, "t": t}, value

    zeros = jax.tree.map(np.zeros_like, parameters)
    state = {"p": parameters, "m": zeros, "v": zeros, "t": np.float32(0)}
    jitted = jax.jit(step, donate_argnums=0)
    module = load_for(machine, jitted, (state, x, y))
    arrays = jax.tree.leaves(state)
    found, expected = [], []
    for _ in range(20):
        *arrays, value = module.main.on_device(*arrays, x, y)
        found.append(float(value.to_host()))
        state, reference = jitted(state, x, y)
        expected.append(float(reference))
    check_losses(found, expected)
