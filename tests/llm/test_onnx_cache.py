"""A GPT from ONNX whose cache is inputs and outputs: 24 tokens as ONNX Runtime, the cache staying on the device.

The sequence and the cache have symbolic lengths; the first call has a cache of length 0. Only logits are read back.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

import webree
from tests.conftest import Machine
from tests.llm.onnx_gpt import HEAD_SIZE, HEADS, LAYERS, VOCABULARY, onnx_gpt
from tests.models import reference_session

COUNT = 24
SMALLEST_LEAD = 1e-4
EMPTY = np.zeros((1, HEADS, 0, HEAD_SIZE), np.float32)


@functools.cache
def expected(seed: int) -> tuple[list[int], list[int], np.ndarray]:
    """A prompt whose tokens all lead clearly, the tokens that follow, and the first call's logits."""
    session = reference_session(onnx_gpt(seed))
    names = [item.name for item in session.get_inputs()]

    def step(ids: Sequence[int], past: list[np.ndarray]) -> list[np.ndarray]:
        mask = np.ones((1, past[0].shape[2] + len(ids)), np.int64)
        return list(session.run(None, dict(zip(names, [np.array([ids]), mask, *past], strict=True))))

    random = np.random.default_rng(seed)
    while True:
        prompt = random.integers(0, VOCABULARY, 7).tolist()
        first, *past = step(prompt, [EMPTY] * (2 * LAYERS))
        logits, tokens, lead = first, [], np.inf
        while True:
            second, best = np.sort(logits[0, -1])[-2:]
            lead = min(lead, (best - second) / logits[0, -1].std())
            tokens.append(int(logits[0, -1].argmax()))
            if len(tokens) == COUNT:
                break
            logits, *past = step(tokens[-1:], past)
        if lead > SMALLEST_LEAD:
            return prompt, tokens, first


@functools.cache
def compiled(seed: int, target: str, profile: str | None) -> bytes:
    return webree.compile(onnx_gpt(seed), target=target, profile=profile)


def test_cache_as_inputs_and_outputs(machine: Machine, seed: int) -> None:
    print(f"WEBREE_SEED={seed}")
    prompt, tokens, first = expected(seed)
    with webree.load(compiled(seed, machine.target, machine.profile), device=machine.device) as module:
        past = [module.to_device(EMPTY) for _ in range(2 * LAYERS)]
        ids, found = prompt, []
        while len(found) < COUNT:
            mask = np.ones((1, past[0].shape[2] + len(ids)), np.int64)
            logits, *past = module.main.on_device(np.array([ids]), mask, *past)
            last = logits.to_host()
            if not found:
                assert np.abs(last - first).max() < 1e-4 * first.std()
            found.append(int(last[0, -1].argmax()))
            ids = found[-1:]
        assert past[0].shape == (1, HEADS, len(prompt) + COUNT - 1, HEAD_SIZE)
        assert found == tokens
