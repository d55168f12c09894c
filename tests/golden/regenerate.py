"""Golden files: `in/*.mlir` (SPIR-V dialect) -> `out/*.wgsl`. `python -m tests.golden.regenerate` writes the outputs.

The input's first comment line may say `read-only: 0, 2` (bindings that the host never writes) and `no features` (of
WebGPU; otherwise all).
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.spirv_kernels import translate_text
from webree.codegen_wgsl.translate import WgslShader

FOLDER = Path(__file__).parent


def inputs() -> list[Path]:
    return sorted((FOLDER / "in").glob("*.mlir"))


def translate(path: Path) -> WgslShader:
    """One golden input, translated the way that `regenerate` and the tests do it."""
    text = path.read_text(encoding="utf-8")
    comment = text.splitlines()[0].removeprefix("// ")
    listed = re.search(r"read-only: ([\d, ]+)", comment)
    numbers = {int(number) for number in listed[1].split(",")} if listed else set()
    read_only = [number in numbers for number in range(max(numbers, default=-1) + 1)]
    features = () if "no features" in comment else None
    return translate_text(
        text, read_only_bindings={"kernel": read_only}, describe={"kernel": comment}, features=features
    )


def main() -> None:
    for path in inputs():
        target = FOLDER / "out" / f"{path.stem}.wgsl"
        target.write_text(translate(path).source, encoding="utf-8")
        print(target.relative_to(FOLDER))


if __name__ == "__main__":
    main()
