"""Schedules: how kernels are laid out, tiled and mapped to workgroups, chosen by profile.

Enters: the module at phase `input` (named linalg operations) and at phase `executable-sources` (one function per
kernel). Leaves: the same module, with convolutions channels-last and with a lowering configuration on each kernel's
main operation. A kernel that is not annotated gets the compiler's own choice.
"""

from __future__ import annotations

from typing import Any

from webree.codegen_wgsl.schedules.aggregates import take_apart
from webree.codegen_wgsl.schedules.alignment import keep_misaligned_scalar
from webree.codegen_wgsl.schedules.annotate import annotate as attach
from webree.codegen_wgsl.schedules.layout import to_channels_last
from webree.codegen_wgsl.schedules.packed import pack_products
from webree.codegen_wgsl.schedules.pulled import pull
from webree.codegen_wgsl.schedules.serial import make_safe
from webree.codegen_wgsl.schedules.sorting import spread_sorts

__all__ = ["annotate", "make_safe", "prepare", "preprocessing_flags"]

_FLAGS = (
    # Concatenation along the outermost dimension costs transpositions; along channels it only writes to slices.
    "--iree-opt-outer-dim-concat=false",
)


def preprocessing_flags(profile: Any) -> list[str]:
    """Session flags of the compiler that suit a profile."""
    return list(_FLAGS)


def annotate(module: Any, profile: Any) -> int:
    """Choose the schedules of a module's kernels for a profile; returns how many kernels got one.

    `module` is an `ir.Module` or its operation at phase `executable-sources`."""
    count = attach(module, profile)
    keep_misaligned_scalar(module)
    return count


def prepare(module: Any, profile: Any) -> None:
    """Change the layouts of a module (an `ir.Module` or its operation) at phase `input`, before kernels are formed."""
    take_apart(module)
    spread_sorts(module)
    pull(module)
    to_channels_last(module)
    pack_products(module)
