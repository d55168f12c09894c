"""The demo of the sentence encoder on the CPU device: what it prints, and what it says of too few sentences."""

from __future__ import annotations

import numpy as np
import pytest

from demos.sentences import demo
from tests.compiling import one_at_a_time


def test_pairs_find_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with one_at_a_time("sentences"):
        demo.compile_module()
    assert demo.main(["--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    for first, second in zip(demo.SENTENCES[::2], demo.SENTENCES[1::2], strict=True):
        for text, other in ((first, second), (second, first)):
            following = printed.partition(f"\n  {text}\n")[2].splitlines()[0]
            cosine, _, found = following.strip().partition("  ")
            assert found == other
            assert 0.5 < float(cosine) < 1


def test_one_sentence_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        demo.main(["alone"])
    assert caught.value.code == 2
    assert "give at least two" in capsys.readouterr().err


def test_nearest_leaves_itself_out() -> None:
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32)
    assert [row for row, _ in demo.nearest(vectors)] == [1, 2, 1]
