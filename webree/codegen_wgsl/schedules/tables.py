"""The numbers behind the schedules, by profile.

Software adapters (SwiftShader, lavapipe) run a subgroup as the lanes of a CPU vector: loads from memory are gathers
and cost about ten times an addition, barriers and workgroup memory cost much more, so a thread computes a large tile
in registers and never waits for another. GPUs want many threads in flight and small register tiles.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

__all__ = ["BUDGETS", "Budget", "budget_for"]


@dataclass(frozen=True, slots=True)
class Budget:
    """How much one thread and one workgroup take on.

    Attributes:
        columns: elements of the innermost loop per thread in a contraction, best first; the first that divides is
            taken.
        rows: most elements per thread of the loop that reuses what the columns read.
        accumulators: most results that a thread keeps in registers.
        depth: steps of a contraction's innermost reduction per iteration, best first.
        window: most taps of a convolution along its innermost window that are unrolled together.
        code: most vector operations of a kernel's innermost steps; longer code takes long to compile.
        neighbours: most neighbouring results per thread of a sliding window without reuse of weights.
        vector: elements of the innermost loop per thread in other kernels, best first.
        threads: threads of a workgroup in a contraction.
        column_threads: most of them along the innermost loop; the others share what these read.
        elementwise_threads: threads of a workgroup in other kernels.
        halves: whether the device has 16-bit floats.
    """

    columns: tuple[int, ...]
    rows: int
    accumulators: int
    depth: tuple[int, ...]
    window: int
    code: int
    neighbours: int
    vector: tuple[int, ...]
    threads: int
    column_threads: int
    elementwise_threads: int
    halves: bool = False


BUDGETS: dict[str, Budget] = {
    "software": Budget(
        columns=(8, 4, 2),
        rows=16,
        accumulators=128,
        depth=(4, 3, 2),
        window=5,
        code=1024,
        neighbours=4,
        vector=(4, 2),
        threads=16,
        column_threads=16,
        elementwise_threads=64,
    ),
    "gpu": Budget(
        columns=(4, 2),
        rows=8,
        accumulators=32,
        depth=(4, 3, 2),
        window=3,
        code=512,
        neighbours=1,
        vector=(4, 2),
        threads=64,
        column_threads=16,
        elementwise_threads=64,
    ),
}


def budget_for(profile: Any) -> Budget:
    """The budget of a profile (anything with `software` and `features`, such as webree.compiler.target.Profile)."""
    budget = BUDGETS["software" if profile.software else "gpu"]
    return replace(budget, halves=True) if "shader-f16" in profile.features else budget
