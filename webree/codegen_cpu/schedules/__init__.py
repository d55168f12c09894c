"""Schedules of CPU kernels: how they are laid out and tiled for 128-bit vectors.

Enters: the module at phase `input` (named linalg operations) and at phase `executable-sources` (one function per
kernel). Leaves: the same module. A kernel that is not annotated gets the compiler's own choice.
"""

from __future__ import annotations

from typing import Any

__all__ = ["annotate", "prepare", "preprocessing_flags"]


def preprocessing_flags(profile: Any) -> list[str]:
    """Session flags of the compiler that suit a profile."""
    return []


def prepare(module: Any, profile: Any) -> None:
    """Change the layouts of a module at phase `input`, before kernels are formed."""


def annotate(module: Any, profile: Any) -> None:
    """Put a lowering configuration on the main operation of each kernel of a module at `executable-sources`."""
