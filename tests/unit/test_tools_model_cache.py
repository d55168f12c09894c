"""The cache of compiled models: what makes a new entry, and what does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from webree.tools.model_cache import cache_folder, cache_key, is_model, module_file


def write_model(path: Path, values: list[float], *, external: bool = False) -> Path:
    """An ONNX model that adds a constant, which lies beside the model if `external`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    constant = numpy_helper.from_array(np.array(values, np.float32), "c")
    shape = [len(values)]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "c"], ["y"])],
        "add",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [constant],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path, save_as_external_data=external, location="weights.bin", size_threshold=0)
    return path


def test_the_same_gives_the_same_key(tmp_path: Path) -> None:
    one, two = (write_model(tmp_path / name / "m.onnx", [1.0, 2.0]) for name in "ab")
    assert cache_key(one, "webgpu", "webgpu", {"n": 1}) == cache_key(two, "webgpu", "webgpu", {"n": 1})


def test_options_and_contents_give_other_keys(tmp_path: Path) -> None:
    one = write_model(tmp_path / "a" / "m.onnx", [1.0, 2.0])
    two = write_model(tmp_path / "b" / "m.onnx", [1.0, 3.0])
    keys = {
        cache_key(one, "webgpu", "webgpu", {}),
        cache_key(two, "webgpu", "webgpu", {}),
        cache_key(one, "webgpu", "webgpu-software", {}),
        cache_key(one, "cpu", "webgpu", {}),
        cache_key(one, "webgpu", "webgpu", {"n": 1}),
        cache_key(one, "webgpu", "webgpu", {"n": 2}),
    }
    assert len(keys) == 6


def test_weights_beside_the_model_count(tmp_path: Path) -> None:
    one = write_model(tmp_path / "a" / "m.onnx", [1.0, 2.0], external=True)
    two = write_model(tmp_path / "b" / "m.onnx", [1.0, 3.0], external=True)
    assert one.read_bytes() == two.read_bytes()
    assert cache_key(one, "webgpu", "webgpu", {}) != cache_key(two, "webgpu", "webgpu", {})


def test_a_module_is_used_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.vmfb"
    path.write_bytes(b"anything")
    assert not is_model(path)
    assert module_file(path, profile="webgpu", dims={}) == path


def test_a_model_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBREE_CACHE", str(tmp_path / "cache"))
    path = write_model(tmp_path / "m.onnx", [1.0, 2.0])
    first = module_file(path, profile="webgpu", dims={}, show_progress=False)
    time_ns = first.stat().st_mtime_ns
    assert module_file(path, profile="webgpu", dims={}, show_progress=False) == first
    assert first.stat().st_mtime_ns == time_ns
    assert [file.name for file in cache_folder().iterdir()] == [first.name]  # nothing half-written is left


def test_a_failed_compile_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from webree.errors import CompileError

    monkeypatch.setenv("WEBREE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(CompileError):
        module_file(path, profile="webgpu", dims={}, show_progress=False)
    assert not (tmp_path / "cache").exists()


def test_the_folder_is_the_systems(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WEBREE_CACHE", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "webree"


def test_without_the_compiler_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    from webree.errors import CompileError

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    path = write_model(tmp_path / "m.onnx", [1.0, 2.0])
    with pytest.raises(CompileError, match=r'a model must be compiled first.*pip install "webree\[compiler\]"'):
        module_file(path, dims={})
