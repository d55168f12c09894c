"""GGUF files: metadata and tensors; block formats against a second reading of them; damage refused with its place."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import webree
from tests.llm.blocks import values_of
from tests.llm.gguf_writer import FORMATS, Tensor, plain, random_blocks, write_gguf
from tests.llm.random_models import random_gpt2, random_llama
from webree.compiler.frontends.gguf_file import open_gguf, read_gguf
from webree.compiler.frontends.gguf_weights import SUPPORTED, dequantise, pack
from webree.errors import CompileError, UsageError
from webree.tools.main import main

METADATA = {
    "a.text": "Grüße",
    "a.flag": True,
    "a.number": 7,
    "a.float": 0.5,
    "a.list": ["x", "yz"],
    "a.numbers": [1, 2],
}


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("alignment", [32, 256])
def test_reading(tmp_path: Path, version: int, alignment: int) -> None:
    tensors = [plain("w", np.arange(6).reshape(2, 3)), plain("b", [1.5, -2], "F16"), plain("s", 3.0)]
    metadata = METADATA | ({"general.alignment": alignment} if alignment != 32 else {})
    data = write_gguf(metadata, tensors, version=version, alignment=alignment)
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    for file in (read_gguf(data, "model"), open_gguf(path)):
        assert dict(file.metadata) == metadata
        assert list(file.tensors) == ["w", "b", "s"]
        assert dequantise(file.tensors["w"], "model").tolist() == [[0, 1, 2], [3, 4, 5]]
        assert dequantise(file.tensors["b"], "model").tolist() == [1.5, -2]
        assert dequantise(file.tensors["s"], "model") == 3


def test_all_formats_are_tested() -> None:
    assert {*FORMATS, "F64"} == set(SUPPORTED)


@pytest.mark.parametrize("form", FORMATS)
def test_block_formats(form: str, seed: int) -> None:
    """Values, and the planes that kernels read, against the scalar reading; equal but for one rounding to f32."""
    tensor = random_blocks("w", (3, 512), form, np.random.default_rng(seed), 1.0)
    expected = values_of(tensor)
    found = read_gguf(write_gguf({}, [tensor]), "model").tensors["w"]
    assert np.abs(dequantise(found, "model") - expected).max() <= 2e-6
    assert np.abs(_from_planes(pack([found, found], "model")) - np.concatenate([expected, expected])).max() <= 2e-6


def _from_planes(weight: Any) -> np.ndarray:
    """`[N, K]` from packed planes, as a kernel computes it."""
    if weight.kind == "f32":
        return weight.codes.T
    shifts = np.arange(0, 32, weight.bits, dtype=np.uint32)
    codes = weight.codes.view(np.uint32)[:, :, None] >> shifts[None, None, :, None] & np.uint32((1 << weight.bits) - 1)
    codes = codes.reshape(codes.shape[0], -1, codes.shape[-1])
    if weight.kind == "f16":
        values = codes.astype(np.uint16).view(np.float16).astype(np.float64)
    elif weight.kind == "bf16":
        values = (codes << np.uint32(16)).view(np.float32).astype(np.float64)
    else:
        values = codes.astype(np.uint8).view(np.int8 if weight.kind == "int" else np.uint8) * weight.scale[:, None]
        values = values + (0 if weight.minimum is None else weight.minimum[:, None])
    return values.reshape(-1, weight.columns).T


GOOD = write_gguf(METADATA, [plain("w", np.ones((2, 32)))])


def info(shape: tuple[int, ...], number: int, offset: int, *, rank: int | None = None, name: bytes = b"w") -> bytes:
    """A file with one tensor, whose fields say what they like."""
    sizes = b"".join(struct.pack("<Q", size) for size in reversed(shape))
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + struct.pack("<Q", len(name)) + name
    return head + struct.pack("<I", len(shape) if rank is None else rank) + sizes + struct.pack("<IQ", number, offset)


def value(kind: int, data: bytes, name: bytes = b"k") -> bytes:
    """A file with one metadata value."""
    return b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, len(name)) + name + struct.pack("<I", kind) + data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "model: magic: the file ends at byte 0"),
        (b"GGML" + bytes(20), "model: magic: it does not start with GGUF"),
        (b"GGUF" + struct.pack("<I", 1), "version: version 1; versions 2 and 3 are supported"),
        (b"GGUF" + struct.pack(">I", 3), "version 50331648 (a big-endian file?)"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0), "number of tensors: 1152921504606846976 of them do not fit"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60), "number of metadata values: 1152921504606846976 of them"),
        (value(4, b"\1\0\0\0", b"\xff"), "metadata key 0: not UTF-8"),
        (value(99, bytes(8)), "metadata 'k': unknown value type 99"),
        (value(8, struct.pack("<Q", 1 << 62)), "metadata 'k': 4611686018427387904 of them do not fit"),
        (value(9, struct.pack("<IQ", 10, 1 << 40)), "metadata 'k': 1099511627776 of them do not fit"),
        (value(9, struct.pack("<IQ", 9, 1) * 40), "metadata 'k': arrays nested too deep"),
        (value(4, b"\1"), "metadata 'k': the file ends at byte"),
        (write_gguf({"general.alignment": 7}, []), "metadata 'general.alignment': 7 is no power of two from 8"),
        (info((2,), 0, 0, rank=1000), "tensor 'w': 1000 axes; at most 4 are allowed"),
        (info((2,), 77, 0), "tensor 'w': unknown type number 77; known: F32, F16, Q4_0"),
        (info((2, 33), 8, 0), "tensor 'w': Q8_0 of shape [2, 33]: rows are whole blocks of 32"),
        (info((2,), 0, 5), "tensor 'w': its offset 5 is no multiple of 32"),
        (info((2,), 0, 32), "tensor 'w': F32 of shape [2] ends at byte 104 of a file of"),
        (info((1 << 40, 1 << 40), 0, 0), "tensor 'w': F32 of shape [1099511627776, 1099511627776] ends at byte"),
        (write_gguf({}, [plain("w", [1.0]), plain("w", [2.0])]), "tensor 'w': the name occurs twice"),
    ],
)  # fmt: skip
def test_damage(data: bytes, message: str) -> None:
    with pytest.raises(CompileError) as caught:
        read_gguf(data, "model")
    assert message in str(caught.value)


def test_truncated_anywhere() -> None:
    for length in range(len(GOOD)):
        with pytest.raises(CompileError, match="model: "):
            read_gguf(GOOD[:length], "model")


def test_changed_anywhere(seed: int) -> None:
    """Any change is read or refused; nothing else happens, and nothing takes long."""
    print(f"WEBREE_SEED={seed}")
    source = random.Random(seed)
    for _ in range(2000):
        data = bytearray(GOOD)
        for _ in range(source.randrange(1, 4)):
            data[source.randrange(len(data))] = source.randrange(256)
        try:
            file = read_gguf(bytes(data), "model")
            for tensor in file.tensors.values():
                dequantise(tensor, "model")
        except CompileError:
            pass


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CompileError, match="there is no model file at"):
        webree.compile(str(tmp_path / "none.gguf"))


LLAMA = random_llama(0, layers=1)
NORM = "output_norm.weight"


def changed(*, metadata: dict[str, Any] | None = None, tensors: dict[str, Tensor | None] | None = None) -> bytes:
    """A small LLaMA with other metadata (None: without the key) and tensors (None: without it)."""
    file = read_gguf(LLAMA.data, "model")
    facts = {**file.metadata, **(metadata or {})}
    kept = {
        item.name: Tensor(item.name, item.shape, item.format.name, bytes(item.data)) for item in file.tensors.values()
    }
    found = {**kept, **(tensors or {})}
    given = {key: item for key, item in facts.items() if item is not None}
    return write_gguf(given, [item for item in found.values() if item is not None])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (changed(metadata={"general.architecture": "mamba"}), "the architecture 'mamba' is not supported; there are"),
        (changed(metadata={"general.architecture": None}), "the metadata key 'general.architecture' is missing"),
        (changed(metadata={"llama.block_count": "2"}), "'llama.block_count' is of type str, expected int"),
        (changed(metadata={"llama.block_count": 0}), "the metadata key llama.block_count is 0"),
        (changed(metadata={"llama.block_count": 2}), "the tensor 'blk.1.attn_q.weight' is missing"),
        (changed(metadata={"llama.attention.head_count": 3}), "3 heads, 2 of keys, of 21 features do not go together"),
        (changed(metadata={"llama.rope.scaling.type": "yarn"}), "rotary positions with the scaling 'yarn'"),
        (changed(metadata={"llama.rope.dimension_count": 8}), "rotary positions for a part of each head"),
        (changed(tensors={NORM: None}), "the tensor 'output_norm.weight' is missing"),
        (changed(tensors={NORM: plain(NORM, np.ones(3))}), "has the shape [3], expected [64]"),
        (changed(tensors={NORM: plain(NORM, [np.inf] * 64)}), "tensor 'output_norm.weight' holds values"),
        (changed(tensors={"x": plain("blk.0.attn_q_norm.weight", np.ones(16))}), "1 tensors have no place in a llama"),
    ],
)  # fmt: skip
def test_models_that_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(CompileError) as caught:
        webree.compile(data)
    assert message in str(caught.value)


def test_a_format_without_a_reader() -> None:
    data = LLAMA.data.replace(
        struct.pack("<Q", 64) + struct.pack("<QI", 96, 3), struct.pack("<Q", 64) + struct.pack("<QI", 96, 20)
    )
    with pytest.raises(CompileError, match=r"is of the type IQ4_NL, which webree cannot read; supported: F32, F16"):
        webree.compile(data)


def test_the_context() -> None:
    with pytest.raises(UsageError, match="a context of 97 tokens; it can be 1 to 96"):
        webree.compile(random_gpt2(0, layers=1).data, dims={"context": 97})
    with pytest.raises(UsageError, match=r"one dimension to bind, context \(given: batch\)"):
        webree.compile(LLAMA.data, dims={"batch": 1})


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A model file runs like a module, compiled to the cache first."""
    monkeypatch.setenv("WEBREE_CACHE", str(tmp_path))
    path = tmp_path / "model.gguf"
    path.write_bytes(LLAMA.data)
    given = ["--device", "cpu", "--function", "prefill", "--input", "3xi32=5", "--dim", "context=20"]
    assert main(["run", str(path), *given]) == 0
    found = int(LLAMA.reference.logits([5, 5, 5])[-1].argmax())
    assert f"1xi32={found}" in capsys.readouterr().out.replace("[", "").replace("]", "").replace(" ", "")
