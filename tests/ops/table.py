"""The op table: every row, by the group whose rows share a module."""

from __future__ import annotations

from tests.ops import (
    conversion_rows,
    float_rows,
    fused_layout_rows,
    fused_order_rows,
    fused_transform_rows,
    index_rows,
    integer_rows,
)
from tests.ops.cases import Case

__all__ = ["CASES", "GROUPS"]

CASES: tuple[Case, ...] = (
    *integer_rows.rows(),
    *float_rows.rows(),
    *conversion_rows.rows(),
    *fused_order_rows.rows(),
    *fused_transform_rows.rows(),
    *fused_layout_rows.rows(),
    *index_rows.rows(),
)

GROUPS: dict[str, list[Case]] = {}
for _case in CASES:
    GROUPS.setdefault(_case.group, []).append(_case)
assert len({case.name for case in CASES}) == len(CASES), "names in the table are not unique"
