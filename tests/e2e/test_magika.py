"""The demo's answers against Magika's own package (magika 1.0.3, run by ONNX Runtime): features, rules and scores.

The package comes out of the wheel that the demo fetches anyway; it is unpacked, not installed. Its Python is the
reference for everything around the model; the model's scores are compared as they come from webree on real adapters.
"""

from __future__ import annotations

import importlib
import random
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import webree
from demos.magika.demo import read_settings
from demos.magika.features import Answer, Magika
from demos.magika.fetch import MAGIKA
from demos.magika.samples import samples
from demos.wheels import download
from tests.models import MODELS
from webree.hal.device import Device

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def magika() -> Magika:
    """The demo's own, with the model's settings."""
    return Magika(*read_settings())


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """`magika.Magika()` of the real package."""
    folder = tmp_path_factory.mktemp("magika-package")
    with zipfile.ZipFile(download(MAGIKA.requirement, folder)) as wheel:
        wheel.extractall(folder, [name for name in wheel.namelist() if name.startswith("magika/")])
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module("magika").Magika()
    finally:
        sys.path.remove(str(folder))


def contents(folder: Path) -> list[bytes]:
    """Sample files, this repository's files, and made-up contents around every limit of the rules."""
    found = [path.read_bytes() for _, path in samples(folder)]
    found += [path.read_bytes() for path in sorted(ROOT.glob("webree/**/*.py"))[:40]]
    chosen = random.Random()
    for size in (0, 1, 7, 8, 9, 100, 1023, 1024, 1025, 2047, 4095, 4096, 4097, 9000):
        text = " ".join(str(chosen.random()) for _ in range(size // 10 + 1)).encode()[:size]
        found += [chosen.randbytes(size), b" " * size, text, b"\n\t " * (size // 6) + text + b"\r\n" * (size // 4)]
        found += [b"\xff" * min(size, 9), b" " * 4090 + text]
    return found


def test_features_and_rules_are_magikas(magika: Magika, package: Any, tmp_path: Path) -> None:
    """With the scores of the package's own session, every answer is the package's."""
    for data in contents(tmp_path):
        asked = magika.prepare_bytes(data)
        if not isinstance(asked, Answer):
            scores = package._onnx_session.run(None, {"bytes": np.asarray(asked, np.int32)[None]})[0][0]
            asked = magika.answer(scores.tolist())
        result = package.identify_bytes(data)
        assert (asked.label, asked.score) == (str(result.output.label), pytest.approx(result.score, abs=1e-6)), data[
            :80
        ]


@pytest.mark.native
def test_types_of_the_samples(magika: Magika, package: Any, device: Device, tmp_path: Path) -> None:
    """The whole way on WebGPU gives the package's type, and its score within 1e-4, for every sample file."""
    (model,) = (model for model in MODELS if model.name == "magika")
    data = webree.compile(model.make(0), profile="webgpu-software", dims=dict(model.dims))
    with webree.load(data, device=device) as module:
        for name, path in samples(tmp_path):
            with path.open("rb") as stream:
                asked = magika.prepare(*magika.read_ends(stream))
            if not isinstance(asked, Answer):
                asked = magika.answer(module.main(np.asarray(asked, np.int32)[None])[0].tolist())
            result = package.identify_path(path)
            assert (asked.label, asked.score) == (str(result.output.label), pytest.approx(result.score, abs=1e-4)), name
