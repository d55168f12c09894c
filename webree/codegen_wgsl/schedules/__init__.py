"""Schedules: how kernels are laid out, tiled and mapped to workgroups, chosen by profile.

Enters: the module at phase `input` (named linalg operations) and at phase `executable-sources` (one function per kernel).
Leaves: the same module, with convolutions channels-last and with a lowering configuration on each kernel's main operation.
A kernel that is not annotated gets the compiler's own choice.
"""

from __future__ import annotations

from typing import Any

__all__ = ["annotate", "preprocessing_flags"]


def preprocessing_flags(profile: Any) -> list[str]:
    """Session flags of the compiler that suit a profile."""
    return ["--iree-preprocessing-pass-pipeline=builtin.module(util.func(iree-preprocessing-convert-conv-to-channels-last))"]


def annotate(module: Any, profile: Any) -> None:
    """Choose the schedule of every kernel of a module at phase `executable-sources`."""
