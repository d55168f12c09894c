"""Ask SmolLM2-135M-Instruct a question: `python -m demos.smollm2.chat "What is the capital of France?"`.

Enters: a prompt, or lines on standard input (a conversation). Leaves: the model's answers, token by token, natively or
(`--device browser`) in headless Chromium. The model is fetched once (fetch.py) and compiled once (the module lies where
`webree run` keeps its own); it runs with its 4-bit weights on the device, and this file only turns text into tokens and
back. `--model FILE` takes another GGUF file of a kind that webree compiles, with a byte-level BPE tokenizer.
"""

from __future__ import annotations

import argparse
import array
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import webree
from demos.smollm2.fetch import FILE, SMOLLM2
from demos.smollm2.tokenizer import Tokenizer
from demos.wheels import FetchError
from webree.compiler.frontends.gguf_file import open_gguf
from webree.tools.browser_session import BrowserSession
from webree.tools.model_cache import module_file

SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
TARGET = "webgpu,cpu"

Call = Callable[[Sequence[int]], int]
"""Appends tokens; the one that follows."""

BROWSER = """
import array, webree
module = await webree.load_async(url, device=device)

async def step(tokens):
    tokens = array.array("i", tokens)
    call = module.decode_async if len(tokens) == 1 else module.prefill_async
    return int((await call(tokens))[0])

module.device.info.name
"""


def main() -> int:
    """Compile, load, talk."""
    arguments = _arguments()
    path = Path(arguments.model) if arguments.model else SMOLLM2.fetch() / FILE
    tokenizer = Tokenizer(open_gguf(path).metadata)
    with ExitStack() as stack:
        place = _in_browser if arguments.device == "browser" else _natively
        call, adapter = place(compiled(path, arguments.context), arguments.device, stack)
        print(f"[{path.name} on {adapter}]", file=sys.stderr)
        prompts: Any = [arguments.prompt] if arguments.prompt else (line.strip() for line in sys.stdin)
        first = True
        for prompt in prompts:
            begin = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n" if first else "\n"
            question = f"{begin}<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
            answer(call, tokenizer, question, arguments.tokens)
            first = False
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Ask SmolLM2-135M-Instruct, on a GPU, on the CPU or in a browser.")
    parser.add_argument("prompt", nargs="?", help="the question (default: one from each line of standard input)")
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto, webgpu, cpu, browser, … (auto)")
    parser.add_argument(
        "--context", type=int, default=512, metavar="N", help="tokens that the cache has room for (512)"
    )
    parser.add_argument("--tokens", type=int, default=128, metavar="N", help="tokens of an answer at most (128)")
    parser.add_argument("--model", metavar="FILE", help="another GGUF file")
    return parser.parse_args()


def compiled(path: Path, context: int) -> Path:
    """The module's path; it is compiled unless it was before."""
    hardware = any(adapter.driver == "webgpu" and not adapter.software for adapter in webree.devices())
    profile = "webgpu" if hardware else "webgpu-software"
    return module_file(path, dims={"context": context}, target=TARGET, profile=profile, show_progress=True)


def answer(call: Call, tokenizer: Tokenizer, question: str, limit: int) -> None:
    """Print an answer as it comes."""
    asked = tokenizer.encode(question)
    times = [time.perf_counter()]

    def tokens() -> Iterator[int]:
        token = call(asked)
        times.append(time.perf_counter())
        while token not in tokenizer.end and len(times) <= limit:
            yield token
            token = call([token])
            times.append(time.perf_counter())
        call([token])  # the end belongs to the conversation too

    for text in tokenizer.stream(tokens()):
        print(text, end="", flush=True)
    print()
    rate = (len(times) - 2) / max(1e-9, times[-1] - times[1])
    print(f"[{len(asked)} tokens read in {times[1] - times[0]:.1f} s, then {rate:.1f} tokens/s]", file=sys.stderr)


def _natively(module: Path, device: str, stack: ExitStack) -> tuple[Call, str]:
    loaded = stack.enter_context(webree.load(module, device=device))

    def call(tokens: Sequence[int]) -> int:
        function = loaded.decode if len(tokens) == 1 else loaded.prefill
        return int(function(array.array("i", tokens))[0])

    return call, loaded.device.info.name


def _in_browser(module: Path, device: str, stack: ExitStack) -> tuple[Call, str]:
    session = stack.enter_context(BrowserSession())
    adapter = session.run(BROWSER, url=session.serve(module.name, module.read_bytes()), device="webgpu")
    return lambda tokens: int(session.run("await step(tokens)", tokens=list(tokens))), f"{adapter}, in Chromium"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (webree.WebreeError, FetchError, ValueError) as error:
        print(f"chat: error: {error}", file=sys.stderr)
        sys.exit(1)
