"""Fetch Magika's model: what it is asked with, its settings, and its table of the types of files."""

from __future__ import annotations

from demos.wheels import Package

__all__ = ["MAGIKA"]

_MODEL = "magika/models/standard_v3_3"

MAGIKA = Package(
    "magika==1.0.3",
    {
        f"{_MODEL}/model.onnx": "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c",
        f"{_MODEL}/config.min.json": "ae24c742205358f6ff6dfd5facb6743fb69743dbba8373e73da58ff0cbd695db",
        "magika/config/content_types_kb.min.json": "75208adba69bc0556403b62b32ef3ccf8b5ce494411780845852e52e6583a10d",
    },
)
