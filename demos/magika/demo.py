"""`make demo`: name the types of files with Google's Magika, natively and in a browser, from one module file.

Enters: nothing; the model is fetched once (fetch.py), compiled once to build/magika.vmfb, and asked about the files of
samples.py. Leaves: two tables, one from this process (wgpu-py), one from headless Chromium (Pyodide), and exit code 0
if they agree. Everything around the model is features.py, in both places.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import features
import fetch
import samples

import webree
from webree.hal.device import AdapterInfo
from webree.tools.browser_session import BrowserSession
from webree.tools.model_cache import cache_key
from webree.tools.progress import Progress

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
MODULE = BUILD / "magika.vmfb"
DIMS = {"unk__214": 1}  # the model's name for its batch dimension
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Row:
    """One file's answer, the milliseconds of the model's call, and the adapter ("" where the model was not asked)."""

    file: str
    label: str
    score: float
    time_ms: float = 0.0
    adapter: str = ""


def main() -> int:
    """Compile, run twice, compare."""
    say("What type is a file? Google's Magika, compiled to WebGPU by webree, run natively and in a browser.\n")
    model = fetch.fetch() / "model.onnx"
    say(f"model    {short(model)}: {model.stat().st_size:,} bytes, out of the wheel {fetch.REQUIREMENT}")
    adapters = webree.devices()
    if not adapters:
        raise webree.DeviceError("no WebGPU adapter was found; `make setup` installs a software one")
    adapter = adapters[0]
    kind = "software" if adapter.software else "hardware"
    say(f"adapter  {adapter.name} ({kind}), the best of {len(adapters)}")
    compile_module(model, "webgpu-software" if adapter.software else "webgpu")

    files = samples.samples(BUILD / "magika" / "samples")
    native = show("Natively, by wgpu-py:", run_natively(adapter, files))
    with Progress("starting Chromium and Pyodide") as progress, BrowserSession() as session:
        progress("loading", 0.5)
        browser = show("In headless Chromium, under Pyodide, the same module:", run_in_browser(session, files))
    return compare(native, browser)


def say(text: str) -> None:
    print(text, flush=True)


def short(path: Path) -> Path:
    return path.relative_to(ROOT)


def compile_module(model: Path, profile: str) -> None:
    """Write build/magika.vmfb unless it is there and made of the same things."""
    stamp, key = MODULE.with_suffix(".key"), cache_key(model, "webgpu", profile, DIMS)
    if MODULE.is_file() and stamp.is_file() and stamp.read_text() == key:
        say(f"module   {short(MODULE)}: {MODULE.stat().st_size:,} bytes, compiled before")
        return
    start = time.monotonic()
    with Progress("compiling", on=True) as progress:
        data = webree.compile(model, profile=profile, dims=DIMS, progress=progress)
    MODULE.write_bytes(data)
    stamp.write_text(key)
    seconds = time.monotonic() - start
    say(f"module   {short(MODULE)}: {len(data):,} bytes, profile {profile}, compiled in {seconds:.1f} s")


def read_settings() -> tuple[str, str]:
    return (fetch.FOLDER / "config.min.json").read_text(), (fetch.FOLDER / "content_types_kb.min.json").read_text()


def run_natively(adapter: AdapterInfo, files: Sequence[tuple[str, Path]]) -> Iterator[Row]:
    """Rows, one by one."""
    magika = features.Magika(*read_settings())
    with webree.load(MODULE, device=adapter) as module:
        for name, path in files:
            with path.open("rb") as stream:
                asked = magika.prepare(*magika.read_ends(stream))
            start = time.perf_counter()
            if isinstance(asked, features.Answer):
                yield Row(name, asked.label, asked.score)
                continue
            scores = module.main(memoryview(asked).cast("B").cast("i", (1, len(asked))))
            elapsed = (time.perf_counter() - start) * 1e3
            answer = magika.answer(scores[0].tolist())
            yield Row(name, answer.label, answer.score, elapsed, module.device.info.name)


BROWSER_LOAD = """
import time
import webree
from webree.array import Array
from webree.dtypes import by_name
from webree.module.source import MemorySource

magika = Magika(config, content_types)
module = await webree.load_async(url)

async def identify(head, tail, size):
    asked = magika.prepare(head.to_bytes(), tail.to_bytes(), size)
    if isinstance(asked, Answer):
        return [asked.label, asked.score]
    start = time.perf_counter()
    tokens = Array(MemorySource(asked.tobytes()), (1, len(asked)), by_name("int32"))
    scores = await module.main_async(tokens)
    elapsed = (time.perf_counter() - start) * 1e3
    answer = magika.answer(scores[0].tolist())
    return [answer.label, answer.score, elapsed, module.device.info.name]
"""


def run_in_browser(session: BrowserSession, files: Sequence[tuple[str, Path]]) -> Iterator[Row]:
    """The same rows from a worker in Chromium; features.py runs there too."""
    session.run(Path(features.__file__).read_text() + "\nNone\n")
    config, content_types = read_settings()
    url = session.serve(MODULE.name, MODULE.read_bytes())
    session.run(BROWSER_LOAD, config=config, content_types=content_types, url=url)
    magika = features.Magika(config, content_types)
    for name, path in files:
        with path.open("rb") as stream:
            head, tail, size = magika.read_ends(stream)
        yield Row(name, *session.run("await identify(head, tail, size)", head=head, tail=tail, size=size))


def show(title: str, rows: Iterator[Row]) -> list[Row]:
    """Print rows as they come, and keep them."""
    say(f"\n{title}\n  {'file':28} {'type':12} {'score':>6} {'time':>10}   adapter")
    kept = []
    for row in rows:
        elapsed = f"{row.time_ms:.1f} ms" if row.adapter else "-"
        adapter = row.adapter or "(too short to ask the model)"
        say(f"  {row.file:28} {row.label:12} {row.score:6.4f} {elapsed:>10}   {adapter}")
        kept.append(row)
    return kept


def compare(native: Sequence[Row], browser: Sequence[Row]) -> int:
    """0 if the types are equal and the scores within the tolerance."""
    differing = [
        f"  {mine.file}: {mine.label} {mine.score:.6f} natively, {other.label} {other.score:.6f} in Chromium"
        for mine, other in zip(native, browser, strict=True)
        if mine.label != other.label or not abs(mine.score - other.score) <= TOLERANCE
    ]
    if differing:
        say("\nThe two do NOT agree:\n" + "\n".join(differing))
        return 1
    largest = max(abs(mine.score - other.score) for mine, other in zip(native, browser, strict=True))
    say(f"\nBoth agree: {len(native)} files, the same types, scores differ by {largest:.1e} at most.")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (webree.WebreeError, fetch.FetchError) as error:
        print(f"demo: error: {error}", file=sys.stderr)
        sys.exit(1)
