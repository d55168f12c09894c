"""The models promised by name, on every device: against ONNX Runtime on the CPU, weights and inputs fresh on every run.

EfficientNet-Lite0 has its real weights, and reads two photographs; all-MiniLM-L6-v2 is in test_models_sentences.py.
"""

from __future__ import annotations

import numpy as np
import pytest

import webree
from tests.compiling import compiled_file
from tests.conftest import Machine
from tests.models import Model, reference, relative_error
from tests.models_named import NAMED_MODELS
from tests.photographs import PHOTOGRAPHS, efficientnet_lite0_bytes, photograph, pytorch_logits

CALLS = 2  # the second call finds used memory in the pool


@pytest.mark.parametrize("model", NAMED_MODELS, ids=lambda model: model.name)
def test_agrees_with_onnx_runtime(model: Model, machine: Machine, seed: int) -> None:
    data = model.make(seed)
    path = compiled_file(data, target=machine.target, profile=machine.profile)
    with webree.load(path, device=machine.device) as module:
        for call in range(CALLS):
            inputs = model.inputs(seed + call)
            expected = reference(data, inputs)
            found = module.main(*inputs.values())
            results = found if isinstance(found, tuple) else (found,)
            assert len(results) == len(expected)
            for mine, theirs in zip(results, expected, strict=True):
                error = relative_error(mine, theirs)
                assert error <= model.tolerance, f"relative error {error:.2e} (WEBREE_SEED={seed})"


def test_photographs_get_their_classes(machine: Machine) -> None:
    path = compiled_file(efficientnet_lite0_bytes(), target=machine.target, profile=machine.profile)
    with webree.load(path, device=machine.device) as module:
        for name, classes in PHOTOGRAPHS.items():
            image = photograph(name)
            logits = np.asarray(module.main(image))
            assert relative_error(logits, pytorch_logits(image)) <= 1e-4
            assert int(np.argmax(logits)) in classes, f"{name} is taken for class {np.argmax(logits)} of ImageNet"
