"""`make demo`: name the types of files with Google's Magika, natively and in a browser, from one module file.

Enters: nothing; the model is fetched once (fetch.py), compiled once to build/magika.vmfb for WebGPU and for the CPU,
and asked about the files of samples.py. Leaves: what each file is, once for every place there is (this process on the
best device, on WebGPU, on the CPU; headless Chromium with WebGPU, and with WebGPU switched off), and exit code 0 if all
agree. What is missing on this machine is said and left out. Everything around the model is features.py, everywhere.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import webree
from demos.magika import features, samples
from demos.magika.fetch import MAGIKA
from demos.wheels import BUILD, FetchError
from webree.errors import UsageError
from webree.tools.browser_session import BrowserSession
from webree.tools.files import write_whole
from webree.tools.model_cache import cache_key
from webree.tools.progress import Progress

ROOT = Path(__file__).resolve().parents[2]
MODULE = BUILD / "magika.vmfb"
TARGET = "webgpu,cpu"
DIMS = {"unk__214": 1}  # the model's name for its batch dimension
TOLERANCE = 1e-4

Files = Sequence[tuple[str, Path]]


@dataclass(frozen=True)
class Row:
    """One file's answer, the milliseconds of the model's call, and the adapter ("" where the model was not asked)."""

    file: str
    label: str
    score: float
    time_ms: float = 0.0
    adapter: str = ""


@dataclass(frozen=True)
class Place:
    """Where the model runs: a title, and what gives the rows."""

    title: str
    rows: Callable[[Files], Iterator[Row]]


def main() -> int:
    """Compile, run everywhere, compare."""
    parser = argparse.ArgumentParser(description="Name the types of files, everywhere this machine can.")
    parser.add_argument("--device", metavar="NAME", help="only there: webgpu or cpu, natively and in Chromium")
    device = parser.parse_args().device
    say("What type is a file? Google's Magika, compiled by webree for WebGPU and CPU, natively and in a browser.")
    model = MAGIKA.fetch() / "model.onnx"
    say(f"\nmodel    {short(model)}: {model.stat().st_size:,} bytes, out of the wheel {MAGIKA.requirement}")
    adapters = webree.devices()
    for adapter in adapters:
        say(f"adapter  {adapter.driver}: {adapter.name} ({'software' if adapter.software else 'hardware'})")
    hardware = any(adapter.driver == "webgpu" and not adapter.software for adapter in adapters)
    compile_module(model, "webgpu" if hardware else "webgpu-software")

    files = samples.samples(BUILD / "samples")
    driver_of = {adapter.name: adapter.driver for adapter in adapters}
    found: list[list[Row]] = []
    for place in places(device, driver_of, found):
        try:
            found.append(show(place, files, short_form=bool(found)))
        except UsageError as error:  # no Chromium, no Pyodide
            if os.environ.get("CI") or not found:
                raise
            say(f"\n{place.title}: left out. {error}")
    return compare(found)


def places(device: str | None, driver_of: Mapping[str, str], found: Sequence[Sequence[Row]]) -> Iterator[Place]:
    """All places, the first one natively; those of one device if there is a choice. `found` has the rows so far."""
    yield Place(f"Natively, device {device or 'auto'}", partial(run_natively, device or "auto"))
    if device is None:
        taken = {driver_of.get(row.adapter) for row in found[0]}
        for other in ("webgpu", "cpu"):
            if other not in driver_of.values():
                say(f"\nNatively, device {other}: left out, there is no such adapter (`webree devices` says why)")
            elif other not in taken:
                yield Place(f"Natively, device {other}", partial(run_natively, other))
    if device in (None, "webgpu"):
        yield Place("In headless Chromium, under Pyodide, on WebGPU", partial(run_in_browser, "auto", "webgpu"))
    if device in (None, "cpu"):
        yield Place("In headless Chromium, WebGPU switched off", partial(run_in_browser, "none", "auto"))


def say(text: str) -> None:
    print(text, flush=True)


def short(path: Path) -> Path:
    return path.relative_to(ROOT)


def compile_module(model: Path, profile: str) -> None:
    """Write build/magika.vmfb unless it is there and made of the same things."""
    stamp, key = MODULE.with_suffix(".key"), cache_key(model, TARGET, profile, DIMS)
    if MODULE.is_file() and stamp.is_file() and stamp.read_text() == key:
        say(f"module   {short(MODULE)}: {MODULE.stat().st_size:,} bytes, compiled before")
        return
    start = time.monotonic()
    with Progress("compiling", on=True) as progress:
        data = webree.compile(model, target=TARGET, profile=profile, dims=DIMS, progress=progress)
    write_whole(MODULE, data)
    stamp.write_text(key)
    seconds = time.monotonic() - start
    say(f"module   {short(MODULE)}: {len(data):,} bytes for {TARGET}, compiled in {seconds:.1f} s")


def read_settings() -> tuple[str, str]:
    """The model's own settings and its table of types, as text."""
    folder = MAGIKA.fetch()
    return (folder / "config.min.json").read_text("utf-8"), (folder / "content_types_kb.min.json").read_text("utf-8")


def run_natively(device: str, files: Files) -> Iterator[Row]:
    """Rows, one by one."""
    magika = features.Magika(*read_settings())
    with webree.load(MODULE, device=device) as module:
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
module = await webree.load_async(url, device=device)

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


def run_in_browser(adapter: str, device: str, files: Files) -> Iterator[Row]:
    """The same rows from a worker in Chromium; features.py runs there too."""
    with Progress("starting Chromium and Pyodide") as progress, BrowserSession(adapter=adapter) as session:
        progress("loading", 0.5)
        session.run(Path(features.__file__).read_text() + "\nNone\n")
        config, content_types = read_settings()
        url = session.serve(MODULE.name, MODULE.read_bytes())
        session.run(BROWSER_LOAD, config=config, content_types=content_types, url=url, device=device)
        magika = features.Magika(config, content_types)
        for name, path in files:
            with path.open("rb") as stream:
                head, tail, size = magika.read_ends(stream)
            yield Row(name, *session.run("await identify(head, tail, size)", head=head, tail=tail, size=size))


def show(place: Place, files: Files, *, short_form: bool) -> list[Row]:
    """Print rows as they come and keep them, or, in short form, print a line about all of them."""
    if not short_form:
        say(f"\n{place.title}:\n  {'file':28} {'type':12} {'score':>6} {'time':>10}   adapter")
    kept = []
    for row in place.rows(files):
        kept.append(row)
        if not short_form:
            elapsed = f"{row.time_ms:.1f} ms" if row.adapter else "-"
            adapter = row.adapter or "(too short to ask the model)"
            say(f"  {row.file:28} {row.label:12} {row.score:6.4f} {elapsed:>10}   {adapter}")
    asked = [row for row in kept if row.adapter]
    if short_form:
        median = statistics.median(row.time_ms for row in asked)
        say(f"\n{place.title}:\n  {len(kept)} files, median {median:.1f} ms, adapter {asked[0].adapter}")
    return kept


def compare(found: Sequence[Sequence[Row]]) -> int:
    """0 if the types are equal everywhere and the scores within the tolerance."""
    first, largest, differing = found[0], 0.0, []
    if len(found) == 1:
        say(f"\n{len(first)} files, in one place only: there is nothing to compare with.")
        return 0
    for rows in found[1:]:
        for mine, other in zip(first, rows, strict=True):
            largest = max(largest, abs(mine.score - other.score))
            if mine.label != other.label or not abs(mine.score - other.score) <= TOLERANCE:
                differing.append(
                    f"  {mine.file}: {mine.label} {mine.score:.6f} on {mine.adapter}, "
                    f"{other.label} {other.score:.6f} on {other.adapter}"
                )
    if differing:
        say("\nThey do NOT agree:\n" + "\n".join(differing))
        return 1
    say(f"\nAll {len(found)} agree: {len(first)} files, the same types, scores differ by {largest:.1e} at most.")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (webree.WebreeError, FetchError) as error:
        print(f"demo: error: {error}", file=sys.stderr)
        sys.exit(1)
