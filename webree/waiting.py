"""How webree waits: code that may have to wait is a generator that yields `Wait` objects; two drivers run it.

Enters: a generator whose every `yield` hands out a `Wait`. Leaves: its return value, either after blocking
(`run_sync`, native programs and browsers with JSPI) or as a coroutine (`run_async`, everywhere). One body of code thus
serves both faces, and nothing blocks in a browser.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Protocol, TypeVar

__all__ = ["Suspendable", "Wait", "run_async", "run_sync"]

T = TypeVar("T")


class Wait(Protocol):
    """Something that will finish: a read-back, a set of pipelines being compiled, a fence."""

    def block(self) -> Any:
        """Wait in place and return the result; raise what went wrong.

        In a browser without JSPI this raises an error that names the `_async` call to use instead."""
        ...

    async def wait(self) -> Any:
        """Wait as a coroutine and return the result; raise what went wrong."""
        ...


Suspendable = Generator[Wait, Any, T]
"""A computation of a `T` that yields a `Wait` wherever it must wait, and is sent the wait's result."""


def run_sync(steps: Suspendable[T]) -> T:
    """Run `steps` to its end, blocking at every wait; exceptions of a wait are raised inside the generator."""
    try:
        wait = next(steps)
        while True:
            try:
                result = wait.block()
            except BaseException as error:
                wait = steps.throw(error)
            else:
                wait = steps.send(result)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


async def run_async(steps: Suspendable[T]) -> T:
    """Run `steps` to its end, awaiting at every wait; exceptions of a wait are raised inside the generator."""
    try:
        wait = next(steps)
        while True:
            try:
                result = await wait.wait()
            except BaseException as error:
                wait = steps.throw(error)
            else:
                wait = steps.send(result)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
