"""Language models with a KV cache: greedy decoding token for token as a float64 reference without a cache.

A GPT-2 of 64 tokens on lavapipe, SwiftShader and the CPU device, and what its functions do at the edges of the context;
LLaMA and Qwen2 with every block format. Models, modules and references are made once for all devices.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import webree
from tests.compiling import compiled_file
from tests.conftest import Machine
from tests.llm.random_models import RandomModel, random_gpt2, random_llama

CHUNK = 16


gpt2 = functools.cache(random_gpt2)


@functools.cache
def llama(seed: int, name: str) -> RandomModel:
    return random_llama(seed, layers=1, **MODELS[name])


@functools.cache
def expected_tokens(model: RandomModel, seed: int, length: int, count: int) -> tuple[list[int], list[int]]:
    return model.greedy(seed, length, count)


@functools.cache
def talkative(
    make: Callable[[int], RandomModel], seed: int, length: int, count: int, distinct: int
) -> tuple[RandomModel, list[int], list[int]]:
    """A model with a prompt and its answer of more than `distinct` tokens: some random models repeat themselves, which
    would test little."""
    for attempt in range(20):
        model = make(seed + attempt)
        prompt, expected = expected_tokens(model, seed, length, count)
        if len(set(expected)) > distinct:
            return model, prompt, expected
    raise AssertionError(f"20 degenerate models (WEBREE_SEED={seed})")


def load(model: RandomModel, machine: Machine, context: int) -> webree.Module:
    path = compiled_file(model.data, target=machine.target, profile=machine.profile, dims={"context": context})
    return webree.load(path, device=machine.device)


def generate(module: webree.Module, prompt: list[int], count: int) -> list[int]:
    """Greedy decoding; every token goes from call to call on the device and is looked at in the end."""
    tokens = [module.prefill.on_device(np.array(prompt, np.int32))]
    while len(tokens) < count:
        tokens.append(module.decode.on_device(tokens[-1]))
    return [int(token.to_host()[0]) for token in tokens]


@pytest.fixture(scope="module")
def gpt(machine: Machine, seed: int) -> Iterator[tuple[RandomModel, webree.Module]]:
    """A small GPT: 4 layers of 128 features, 4 heads, 512 tokens, the embedding tied to the output."""
    print(f"WEBREE_SEED={seed}")
    model, _, _ = talkative(gpt2, seed, 21, 64, 10)
    with load(model, machine, 96) as module:
        yield model, module


def test_gpt_of_64_tokens(gpt: tuple[RandomModel, webree.Module], seed: int) -> None:
    model, module = gpt
    prompt, expected = expected_tokens(model, seed, 21, 64)  # two chunks, the second one not full
    assert len(set(expected)) > 10
    module.reset()
    assert generate(module, prompt, 64) == expected
    assert int(module.position()) == 21 + 63


def test_a_second_conversation_is_not_influenced(gpt: tuple[RandomModel, webree.Module], seed: int) -> None:
    model, module = gpt
    for turn in range(2):
        prompt, expected = expected_tokens(model, seed + 1 + turn, 3 + 9 * turn, 8)
        module.reset()
        assert int(module.position()) == 0
        assert generate(module, prompt, 8) == expected


@pytest.mark.parametrize("parts", [[5], [1, 1, 3], [CHUNK], [CHUNK + 1], [2, 2 * CHUNK, 7]], ids=str)
def test_prompts_in_parts(gpt: tuple[RandomModel, webree.Module], seed: int, parts: list[int]) -> None:
    """Prompts may come in parts of any length; the logits are the last token's."""
    model, module = gpt
    random = np.random.default_rng(seed)
    prompt = random.integers(0, model.vocabulary, sum(parts), np.int32)
    module.reset()
    start = 0
    for count in parts:
        token = module.prefill(prompt[start : start + count])
        start += count
    logits, expected = module.logits(), model.reference.logits(prompt)[-1]
    assert np.abs(logits - expected).max() < 1e-4 * expected.std()
    assert token.tolist() == [logits.argmax()]


def test_the_context_is_used_to_its_end_and_no_further(gpt: tuple[RandomModel, webree.Module], seed: int) -> None:
    model, module = gpt
    prompt = np.random.default_rng(seed).integers(0, model.vocabulary, 96, np.int32)
    module.reset()
    module.prefill(prompt[:95])
    module.decode(prompt[95:])
    expected = model.reference.logits(prompt)[-1]
    assert np.abs(module.logits() - expected).max() < 1e-4 * expected.std()
    message = r"the context of 96 tokens has no room for these; reset\(\) empties it"
    with pytest.raises(webree.InvocationError, match=message):
        module.decode(prompt[:1])
    with pytest.raises(webree.InvocationError, match=message):
        module.prefill(prompt[:1])
    assert int(module.position()) == 96
    module.reset()
    with pytest.raises(webree.InvocationError, match=message):
        module.prefill(np.zeros(97, np.int32))
    with pytest.raises(webree.InvocationError, match="no tokens were given"):
        module.prefill(prompt[:0])


def test_tokens_outside_of_the_vocabulary(gpt: tuple[RandomModel, webree.Module]) -> None:
    """They are taken as the nearest inside: nothing is read behind the table."""
    model, module = gpt
    for token, taken in ((-5, 0), (model.vocabulary + 7, model.vocabulary - 1)):
        module.reset()
        module.decode(np.array([token], np.int32))
        expected = model.reference.logits([taken])[-1]
        assert np.abs(module.logits() - expected).max() < 1e-4 * expected.std()


MODELS: dict[str, dict[str, Any]] = {
    "llama-4-bit": {"types": ("Q4_0", "Q4_1"), "embedding": "Q8_0"},
    "llama-halves": {"types": ("F16", "BF16"), "embedding": "F16"},
    "llama-k": {"types": ("Q4_K", "Q4_K", "Q6_K", "Q5_K"), "embedding": "Q6_K", "width": 256, "hidden": 256},
    "qwen2": {"architecture": "qwen2", "types": ("Q5_0", "Q5_1", "Q8_0"), "embedding": "F32", "kv_heads": 4},
}


RUN_ON = {"lavapipe": tuple(MODELS), "swiftshader": ("llama-4-bit",), "cpu": ("llama-4-bit", "llama-k")}
"""Each way to read codes runs on lavapipe, the 4-bit model everywhere, the K formats (groups of 16 and 32) on two."""


def test_quantised_models(machine: Machine, seed: int) -> None:
    """Weights stay quantised on the device; the reference has them dequantised in float64."""
    for name in RUN_ON[machine.name]:
        model, prompt, expected = talkative(functools.partial(llama, name=name), seed, 19, 16, 3)
        with load(model, machine, 40) as module:
            assert generate(module, prompt, 16) == expected, f"{name} (WEBREE_SEED={seed})"


def test_weights_in_a_file_of_their_own(machine: Machine, seed: int, tmp_path: Path) -> None:
    """Quantised weights can be parameters like any others."""
    model = llama(seed, "llama-4-bit")
    prompt, expected = expected_tokens(model, seed, 19, 16)
    weights = tmp_path / "weights.safetensors"
    options = {"target": machine.target, "profile": machine.profile, "dims": {"context": 40}}
    data = webree.compile(model.data, parameters=weights, **options)
    with webree.load(data, device=machine.device, parameters={"model": weights}) as module:
        assert generate(module, prompt, 16) == expected
    assert weights.stat().st_size > 20_000
    assert len(data) < compiled_file(model.data, **options).stat().st_size - 20_000
