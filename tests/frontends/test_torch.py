"""PyTorch modules: signatures, methods, files, dynamic sizes, errors. The operators: test_torch_ops.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import webree
from tests.conftest import Machine
from tests.frontends.running import compare, load_for
from webree.errors import CompileError, InvocationError, UsageError


class Layers(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(5, 7)
        self.second = torch.nn.Linear(7, 3)

    def forward(self, x: torch.Tensor, *, scale: torch.Tensor) -> dict[str, Any]:
        y = self.second(torch.relu(self.first(x)))
        return {"y": y, "both": (y * scale, y > 0), "nothing": None}

    def half(self, x: torch.Tensor) -> torch.Tensor:
        return self.first(x) / 2


def test_signature_and_names(machine: Machine, seed: int) -> None:
    print(f"seed {seed}")
    torch.manual_seed(seed)
    layers, x, scale = Layers().eval(), torch.randn(2, 5), torch.tensor(3.0)
    module = load_for(machine, layers, (x,), example_keywords={"scale": scale})
    assert str(module.main.signature) == (
        "main(x: 2x5xf32, scale: f32) -> (y: 2x3xf32, both_0: 2x3xf32, both_1: 2x3xi1)"
    )
    with torch.no_grad():
        expected = layers(x, scale=scale)
    compare("layers", module.main(x.numpy(), scale.numpy()), [expected["y"], *expected["both"]], 1e-5, 1e-6)


def test_methods_share_weights(machine: Machine) -> None:
    layers, x = Layers().eval(), torch.randn(2, 5)
    module = load_for(machine, {"all": (layers, (x,), {"scale": torch.tensor(2.0)}), "half": (layers.half, (x,))})
    with torch.no_grad():
        compare("half", module.half(x.numpy()), [layers.half(x)], 1e-5, 1e-6)
        compare("all", module.all(x.numpy(), np.float32(2))[0], [layers(x, scale=torch.tensor(2.0))["y"]], 1e-5, 1e-6)


def test_dynamic_shapes(machine: Machine) -> None:
    layers = Layers().eval()
    example = (torch.randn(4, 5), torch.tensor(1.0))
    batch = torch.export.Dim("batch", min=1, max=100)
    module = load_for(
        machine,
        layers,
        example[:1],
        example_keywords={"scale": example[1]},
        dynamic_shapes={"x": {0: batch}, "scale": None},
    )
    for count in (1, 4, 9):
        x = torch.randn(count, 5)
        with torch.no_grad():
            compare(f"{count} rows", module.main(x.numpy(), np.float32(1))[0], [layers(x, scale=1)["y"]], 1e-5, 1e-6)


def test_open_sizes_of_one_name_are_equal() -> None:
    class Joined(torch.nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:
            return x.sum(0), y.sum(0)

    rows = torch.export.Dim("rows")
    inputs, shapes = (torch.ones(3, 2), torch.ones(3, 4)), ({0: rows}, {0: rows})
    data = webree.compile(Joined(), inputs, dynamic_shapes=shapes, target="cpu")
    module = webree.load(data, device="wasm")
    compare(
        "sums",
        module.main(np.ones((5, 2), "f"), np.ones((5, 4), "f")),
        [np.full(2, 5, "f"), np.full(4, 5, "f")],
        1e-6,
        0,
    )
    with pytest.raises(
        InvocationError, match="dimension 0 of input 'y' and dimension 0 of input 'x' are one open size"
    ):
        module.main(np.ones((5, 2), "f"), np.ones((4, 4), "f"))


def test_split_beside_open_sizes() -> None:
    rows = torch.export.Dim("rows", min=1, max=9)
    data = webree.compile(lambda x: x.split(2, -1), (torch.ones(2, 3, 6),), dynamic_shapes=({1: rows},), target="cpu")
    x = torch.randn(2, 5, 6)
    compare("parts", webree.load(data, device="wasm").main(x.numpy()), x.split(2, -1), 0, 0)


def test_masks_as_indices() -> None:
    """As many results as the mask says; on the mask itself the compiler would never come to an end."""
    data = webree.compile(lambda x: (x[x > 0], x[x[:, 0] > 0]), torch.ones(4, 5), target="cpu")
    x = torch.randn(4, 5)
    x[0, 0], x[1, 0] = 1.0, -1.0
    compare("chosen", webree.load(data, device="wasm").main(x.numpy()), (x[x > 0], x[x[:, 0] > 0]), 0, 0)


class Cache:
    """A plain object with tensors, as caches of language models are."""

    def __init__(self) -> None:
        self.sums, self.steps = [torch.zeros(3)], torch.zeros((), dtype=torch.int64)


class Cached(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cache = Cache()
        self.register_buffer("sum", self.cache.sums[0])

    def forward(self, x: torch.Tensor) -> Any:
        self.cache.sums[0].add_(x)
        self.cache.steps.add_(1)
        return self.sum * self.cache.steps, self.cache.steps.clone()


def test_tensors_of_plain_objects_are_state() -> None:
    """Also where one is a buffer as well; compiling leaves the caller's values alone."""
    model = Cached()
    module = webree.load(webree.compile(model, torch.ones(3), target="cpu"), device="wasm")
    assert (int(model.cache.steps), float(model.sum.sum())) == (0, 0.0)
    for _ in range(3):
        x = torch.randn(3)
        compare("sums", module.main(x.numpy()), model(x), 1e-6, 1e-6)


def test_exported_file(tmp_path: Path, machine: Machine) -> None:
    layers, x = Layers().eval(), torch.randn(2, 5)
    exported = torch.export.export(layers, (x,), {"scale": torch.tensor(1.0)})
    path = tmp_path / "model.pt2"
    torch.export.save(exported, path)
    with torch.no_grad():
        expected = layers(x, scale=1)["y"]
    for source in (exported, path):
        compare(str(source)[:20], load_for(machine, source).main(x.numpy(), np.float32(1))[0], [expected], 1e-5, 1e-6)


def test_unsupported_operator_names_the_line() -> None:
    class Odd(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.linalg.qr(x)[0]

    with pytest.raises(CompileError) as caught:
        webree.compile(Odd(), torch.randn(3, 3))
    assert "aten.linalg_qr" in str(caught.value)
    assert "(in `return torch.linalg.qr(x)[0]`)" in str(caught.value)
    assert str(caught.value).startswith("test_torch.py:")
    assert caught.value.unsupported


def test_written_inputs_are_refused() -> None:
    class Writes(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.add_(1)

    with pytest.raises(CompileError, match="Writes: main writes to its input x; return the new value, or keep it"):
        webree.compile(Writes(), torch.zeros(3))


@pytest.mark.parametrize(
    ("source", "arguments", "options", "message"),
    [
        (Layers(), (), {}, "a PyTorch module is compiled with example inputs"),
        (Layers(), (torch.ones(1),), {"dims": {"n": 1}}, "dims are for ONNX models (given: n)"),
        (b"\x08", (torch.ones(1),), {}, "example_inputs can be given for PyTorch modules and JAX functions only"),
        ({"f": (Layers(), (1, 2))}, (torch.ones(1),), {}, "has example inputs of its own"),
        (Layers(), ({"x": 1},), {"example_keywords": {"scale": 1}}, "keyword inputs are given twice"),
    ],
)
def test_usage(source: Any, arguments: tuple[Any, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        webree.compile(source, *arguments, **options)
    assert message in str(caught.value)


def test_what_torch_cannot_export() -> None:
    class Branches(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 1 if x.sum() > 0 else x

    with pytest.raises(CompileError, match=r"torch\.export\.export cannot capture Branches: .*data-dependent"):
        webree.compile(Branches(), torch.ones(3))


def test_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    path.write_bytes(b"PK\x03\x04nothing")
    with pytest.raises(CompileError, match=r"model\.pt2 cannot be read by torch\.export\.load of torch 2\."):
        webree.compile(path)
