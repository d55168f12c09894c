"""The models promised by name, on every device: against ONNX Runtime on the CPU, weights and inputs fresh on every run.

EfficientNet-Lite0 has its real weights, and reads two photographs; all-MiniLM-L6-v2 is in test_models_sentences.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import webree
from tests.conftest import Machine
from tests.models import Model, reference, relative_error
from tests.models_named import NAMED_MODELS
from tests.photographs import PHOTOGRAPHS, efficientnet_lite0_bytes, photograph, pytorch_logits

CALLS = 2  # the second call finds used memory in the pool


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Name, model's bytes and machine -> its module's path, compiled once for all devices of a target."""
    folder = tmp_path_factory.mktemp("named")

    def compile_once(name: str, data: bytes, machine: Machine) -> Path:
        path: Path = folder / f"{name}.{machine.target}.vmfb"
        if not path.exists():
            path.write_bytes(webree.compile(data, target=machine.target, profile=machine.profile))
        return path

    return compile_once


@pytest.mark.parametrize("model", NAMED_MODELS, ids=lambda model: model.name)
def test_agrees_with_onnx_runtime(model: Model, compiled: Any, machine: Machine, seed: int) -> None:
    data = model.make(seed)
    with webree.load(compiled(model.name, data, machine), device=machine.device) as module:
        for call in range(CALLS):
            inputs = model.inputs(seed + call)
            expected = reference(data, inputs)
            found = module.main(*inputs.values())
            results = found if isinstance(found, tuple) else (found,)
            assert len(results) == len(expected)
            for mine, theirs in zip(results, expected, strict=True):
                error = relative_error(mine, theirs)
                assert error <= model.tolerance, f"relative error {error:.2e} (WEBREE_SEED={seed})"


def test_photographs_get_their_classes(compiled: Any, machine: Machine) -> None:
    path = compiled("efficientnet_lite0", efficientnet_lite0_bytes(), machine)
    with webree.load(path, device=machine.device) as module:
        for name, classes in PHOTOGRAPHS.items():
            image = photograph(name)
            logits = np.asarray(module.main(image))
            assert relative_error(logits, pytorch_logits(image)) <= 1e-4
            assert int(np.argmax(logits)) in classes, f"{name} is taken for class {np.argmax(logits)} of ImageNet"
