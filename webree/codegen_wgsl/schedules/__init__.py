"""Schedules: how kernels are laid out, tiled and mapped to workgroups, chosen by profile.

Enters: the module at phase `input` (named linalg operations) and at phase `executable-sources` (one function per
kernel). Leaves: the same module, with convolutions channels-last and with a lowering configuration on each kernel's
main operation. A kernel that is not annotated gets the compiler's own choice.
"""

from __future__ import annotations

from typing import Any

from webree.codegen_wgsl.schedules.annotate import annotate
from webree.codegen_wgsl.schedules.layout import to_channels_last

__all__ = ["annotate", "prepare", "preprocessing_flags"]

_FLAGS = (
    # Concatenation along the outermost dimension costs transpositions; along channels it only writes to slices.
    "--iree-opt-outer-dim-concat=false",
)


def preprocessing_flags(profile: Any) -> list[str]:
    """Session flags of the compiler that suit a profile."""
    return list(_FLAGS)


def prepare(module: Any, profile: Any) -> None:
    """Change the layouts of a module (an `ir.Module` or its operation) at phase `input`, before kernels are formed."""
    to_channels_last(module)
