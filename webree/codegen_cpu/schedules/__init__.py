"""Schedules of CPU kernels: how they are laid out and tiled for 128-bit vectors.

Enters: the module at phase `input` (named linalg operations) and at phase `executable-configurations` (one function per
kernel, with the compiler's own tile sizes). Leaves: the same module, with images channels-last, with constant weights
in panels, and with other tile sizes where the kernel is of a known kind. All other kernels stay the compiler's.
"""

from __future__ import annotations

from typing import Any

from webree.codegen_cpu.schedules.annotate import annotate
from webree.codegen_cpu.schedules.panels import keep_rearranged, to_panels
from webree.codegen_cpu.schedules.rearranged import evaluate_rearrangements
from webree.codegen_wgsl.schedules.layout import to_channels_last
from webree.codegen_wgsl.schedules.pulled import pull

__all__ = ["annotate", "prepare", "prepare_shared", "preprocessing_flags"]

_FLAGS = (
    # Concatenation along the outermost dimension costs transpositions; along channels it only writes to slices.
    "--iree-opt-outer-dim-concat=false",
)

_WITHOUT_FACTORS = 3  # operands: the stage, and both parts of the numbers


def preprocessing_flags(profile: Any) -> list[str]:
    """Session flags of the compiler that suit a profile."""
    return list(_FLAGS)


def prepare(module: Any, profile: Any) -> None:
    """Change the layouts of a module at phase `input`, before kernels are formed; not for modules that share their
    weights with other targets, which would have to read panels too."""
    pull(module, _crashes)
    to_channels_last(module)
    to_panels(module)
    evaluate_rearrangements(module)


def prepare_shared(module: Any, profile: Any) -> None:
    """The same for a module that another target's schedules have prepared already: what suits both."""
    keep_rearranged(module)


def _crashes(op: Any) -> bool:
    """Stages of a Fourier transform without tables of factors end the compiler's process."""
    return bool(op.name == "iree_linalg_ext.fft" and len(op.operands) == _WITHOUT_FACTORS)
