"""ONNX weights in files beside the model: mapped or read as they are needed, whatever their place in the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import webree
from tests.types.weights_model import inputs, model, reference
from webree.errors import CompileError


@pytest.mark.parametrize("offset", [0, 64, 4])  # 4: not as the compiler wants it, so it is read
@pytest.mark.parametrize("parameters", [False, True])
def test_from_another_file(tmp_path: Path, offset: int, parameters: bool, seed: int) -> None:
    source, path = model(seed), tmp_path / "model.onnx"
    data = bytearray(b"\x7f" * offset)
    for tensor in source.graph.initializer:
        place = {"location": "weights.bin", "offset": str(len(data)), "length": str(len(tensor.raw_data))}
        data += tensor.raw_data
        data += b"\x7f" * (-(len(data) - offset) % 64)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in place.items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
    (tmp_path / "weights.bin").write_bytes(data)
    onnx.save(source, path)
    stored = tmp_path / "w.safetensors" if parameters else None
    compiled = webree.compile(path, target="cpu", parameters=stored)
    feeds = inputs(seed)
    with webree.load(compiled, parameters=stored) as module:
        for mine, theirs in zip(module.main(*feeds.values()), reference(path, feeds), strict=True):
            assert np.abs(mine - theirs).max() / np.abs(theirs).max() < 1e-5, f"WEBREE_SEED={seed}"
    (tmp_path / "weights.bin").write_bytes(data[:-2000])
    with pytest.raises(CompileError, match=r"the weights of '.*' cannot be read from 'weights\.bin' beside it"):
        webree.compile(path, target="cpu")
