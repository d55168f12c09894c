"""Which sentences mean the same? all-MiniLM-L6-v2, natively and in headless Chromium, from one module file.

    python -m demos.sentences.demo [--device NAME] [SENTENCE...]

Enters: sentences (a few of its own if none are given). Leaves: for each sentence the one that is nearest in meaning,
with the cosine of the angle between their vectors, and exit code 0 if all places agree. The model is fetched once,
and compiled once to build/sentences.vmfb for WebGPU and for the CPU. Text becomes numbers in tokenizer.py, everywhere.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

import webree
from demos.sentences.fetch import MINILM
from demos.sentences.model import TOKENS, onnx_bytes, tokenizer
from demos.wheels import BUILD, FetchError
from webree.errors import UsageError
from webree.tools.browser_session import BrowserSession
from webree.tools.files import write_whole
from webree.tools.progress import Progress

__all__ = ["compile_module", "in_browser", "main", "natively", "nearest"]

MODULE = BUILD / "sentences.vmfb"
TOLERANCE = 1e-4  # of each number of a vector of length 1, between places

SENTENCES = (
    "A man is eating food.",
    "Someone is having a meal.",
    "The quick brown fox jumps over the lazy dog.",
    "A fast animal leaps above a sleepy pet.",
    "Compilers translate programs into machine code.",
    "The software is turned into instructions for the processor.",
)

Vectors = npt.NDArray[np.float32]


def compile_module(path: Path = MODULE) -> Path:
    """The module, compiled unless it is newer than everything that it is made of."""
    sources = [Path(__file__).with_name(name) for name in ("model.py", "fetch.py")]
    if not path.is_file() or any(source.stat().st_mtime > path.stat().st_mtime for source in sources):
        with Progress("compiling", on=True) as progress:
            data = webree.compile(onnx_bytes(), target="webgpu,cpu", profile="webgpu-software", progress=progress)
        write_whole(path, data)
    return path


def natively(module: Path, device: str, texts: Sequence[str]) -> tuple[Vectors, str]:
    """f32[texts,384], each row of length 1, and the adapter's name."""
    encode = tokenizer().encode_padded
    with webree.load(module, device=device) as loaded:
        rows = [loaded.main(*(np.array([part], np.int64) for part in encode(text))) for text in texts]
        return np.concatenate([np.asarray(row) for row in rows]), loaded.device.info.name


def in_browser(module: Path, device: str, texts: Sequence[str]) -> tuple[Vectors, str]:
    """The same from a worker in Chromium, where tokenizer.py runs under Pyodide."""
    source = Path(__file__).with_name("tokenizer.py").read_text("utf-8")
    with BrowserSession() as session:
        session.run(source + "\nNone\n")
        encoded = session.run(
            f"mine = Tokenizer(vocabulary.splitlines(), {TOKENS})\n[mine.encode_padded(text) for text in texts]",
            vocabulary=(MINILM.fetch() / "vocab.txt").read_text("utf-8"),
            texts=list(texts),
        )
        loaded = session.load(module.read_bytes(), device=device)
        rows = [loaded.call("main", [np.array([part], np.int64) for part in row])[0] for row in encoded]
        return np.concatenate(rows), loaded.adapter


def nearest(vectors: Vectors) -> list[tuple[int, float]]:
    """For each row the number of the most similar other row, and the cosine of the angle between them."""
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -2.0)
    return [(int(np.argmax(row)), float(np.max(row))) for row in cosines]


def main(arguments: Sequence[str] | None = None) -> int:
    """Compile, run, compare."""
    parser = argparse.ArgumentParser(description="Which sentences mean the same, everywhere this machine can tell.")
    parser.add_argument("texts", metavar="SENTENCE", nargs="*", help="at least two")
    parser.add_argument("--device", metavar="NAME", help="only natively, there (webgpu, cpu)")
    options = parser.parse_args(arguments)
    texts = options.texts or list(SENTENCES)
    if len(texts) < 2:
        parser.error("one sentence alone is near to nothing: give at least two")
    module = compile_module()
    print(f"module   build/{module.name}: {module.stat().st_size:,} bytes")
    start = time.perf_counter()
    first, adapter = natively(module, options.device or "auto", texts)
    elapsed = (time.perf_counter() - start) * 1e3 / len(texts)
    print(f"natively on {adapter}: {elapsed:.0f} ms a sentence, the load included\n")
    for text, (other, cosine) in zip(texts, nearest(first), strict=True):
        print(f"  {text}\n      {cosine:.3f}  {texts[other]}")
    if options.device is not None:
        return 0
    try:
        second, adapter = in_browser(module, "webgpu", texts)
    except UsageError as error:  # no Chromium, no Pyodide
        print(f"\nin Chromium: left out. {error}")
        return 0
    largest = float(np.max(np.abs(first - second)))
    print(f"\nin headless Chromium on {adapter}: vectors differ by {largest:.1e} at most")
    return int(not largest <= TOLERANCE)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (webree.WebreeError, FetchError) as error:
        print(f"demo: error: {error}", file=sys.stderr)
        sys.exit(1)
