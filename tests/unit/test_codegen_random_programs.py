"""Random structured programs, interpreted in Python and translated to WGSL: both must agree.

A program is a tree of integer operations, selections that yield values, and loops with carried values (swaps
included), early exits, and results passed on by the merge block or through variables as the scf lowering does it.
"""

from __future__ import annotations

import os
import random
import secrets
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from tests.conftest import ADAPTERS
from tests.spirv_kernels import kernel_text, run_wgsl, translate_text, wgpu_device

pytestmark = pytest.mark.native

SEED = int(os.environ.get("WEBREE_SEED") or secrets.randbelow(1 << 31))
PROGRAMS = 30
INPUTS = [0, 1, -1, 5, -7, 100, -(2**31), 2**31 - 1]
OPERATIONS = {
    "IAdd": lambda a, b: a + b,
    "ISub": lambda a, b: a - b,
    "IMul": lambda a, b: a * b,
    "BitwiseXor": lambda a, b: a ^ b,
    "BitwiseAnd": lambda a, b: a & b,
}
COMPARISONS = {
    "SLessThan": lambda a, b: a < b,
    "IEqual": lambda a, b: a == b,
    "SGreaterThanEqual": lambda a, b: a >= b,
}
Values = dict[str, int]


@dataclass
class Operation:
    name: str
    result: str
    operands: tuple[str, str]

    def run(self, values: Values) -> None:
        total = OPERATIONS[self.name](values[self.operands[0]], values[self.operands[1]])
        values[self.result] = (total + 2**31) % 2**32 - 2**31

    def text(self) -> list[str]:
        return [f"%{self.result} = spirv.{self.name} %{self.operands[0]}, %{self.operands[1]} : i32"]


@dataclass
class Condition:
    """A comparison, as the condition of something."""

    name: str
    result: str
    operands: tuple[str, str]

    def holds(self, values: Values) -> bool:
        return bool(COMPARISONS[self.name](values[self.operands[0]], values[self.operands[1]]))

    text = Operation.text


@dataclass
class Selection:
    test: Condition
    results: list[str]
    arms: list[tuple[list[Any], list[str]]]

    def run(self, values: Values) -> None:
        body, yielded = self.arms[0 if self.test.holds(values) else 1]
        run_all(body, values)
        values.update({result: values[name] for result, name in zip(self.results, yielded, strict=True)})

    def text(self) -> list[str]:
        (then, then_values), (other, other_values) = self.arms
        merged = [f"{name}m" for name in self.results]
        return [
            *self.test.text(),
            f"{defining(self.results)}spirv.mlir.selection{yielding(self.results)} {{",
            f"spirv.BranchConditional %{self.test.result}, ^then, ^other",
            *("^then:", *texts(then), f"spirv.Branch ^merge{passed(then_values)}"),
            *("^other:", *texts(other), f"spirv.Branch ^merge{passed(other_values)}"),
            *(f"^merge{declared(merged)}:", f"spirv.mlir.merge{given(merged)}", "}"),
        ]


@dataclass
class Loop:
    """Counts `counter` from 0 to `trips`; `results` become the last values of the first carried ones."""

    counter: str
    trips: int
    carried: list[str]
    initial: list[str]
    body: list[Any]
    following: list[str]
    results: list[str]
    through_variables: bool
    leave: Condition | None = field(default=None)

    def run(self, values: Values) -> None:
        values.update({name: values[start] for name, start in zip(self.carried, self.initial, strict=True)})
        for trip in range(self.trips):
            values[self.counter] = trip
            run_all(self.body, values)
            if self.leave is not None and self.leave.holds(values):
                break
            values.update(dict(zip(self.carried, [values[name] for name in self.following], strict=True)))
        values.update(dict(zip(self.results, [values[name] for name in self.carried], strict=False)))

    def text(self) -> list[str]:
        c = self.counter
        merged = self.carried[: len(self.results)] if not self.through_variables else []
        results = [] if self.through_variables else self.results
        variables = self.results if self.through_variables else []
        exit_lines = []
        if self.leave is not None:
            exit_lines = [*self.leave.text(), f"spirv.BranchConditional %{self.leave.result}, ^merge, ^next", "^next:"]
        return [
            *(f"%{name}p = spirv.Variable : !spirv.ptr<i32, Function>" for name in variables),
            f"%{c}end = spirv.Constant {self.trips} : i32",
            f"{defining(results)}spirv.mlir.loop{yielding(results)} {{",
            f"spirv.Branch ^header{passed(['zero', *self.initial])}",
            f"^header{declared([c, *self.carried])}:",
            f"%{c}go = spirv.SLessThan %{c}, %{c}end : i32",
            *(f"spirv.BranchConditional %{c}go, ^body, ^merge", "^body:", *texts(self.body), *exit_lines),
            *(
                f'spirv.Store "Function" %{name}p, %{value} : i32'
                for name, value in zip(variables, self.following, strict=False)
            ),
            f"%{c}next = spirv.IAdd %{c}, %one : i32",
            f"spirv.Branch ^header{passed([f'{c}next', *self.following])}",
            *("^merge:", f"spirv.mlir.merge{given(merged)}", "}"),
            *(f'%{name} = spirv.Load "Function" %{name}p : i32' for name in variables),
        ]


def run_all(statements: list[Any], values: Values) -> None:
    for statement in statements:
        statement.run(values)


def texts(statements: list[Any]) -> list[str]:
    return [line for statement in statements for line in statement.text()]


def types(names: list[str]) -> str:
    return ", ".join(["i32"] * len(names))


def listed(names: list[str]) -> str:
    return ", ".join(f"%{name}" for name in names)


def defining(names: list[str]) -> str:
    return f"{listed(names)} = " if names else ""


def yielding(names: list[str]) -> str:
    return f" -> {types(names)}" if names else ""


def given(names: list[str]) -> str:
    return f" {listed(names)} : {types(names)}" if names else ""


def passed(names: list[str]) -> str:
    return f"({listed(names)} : {types(names)})" if names else ""


def declared(names: list[str]) -> str:
    return f"({', '.join(f'%{name}: i32' for name in names)})" if names else ""


class Author:
    """Writes random programs."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.count = 0

    def name(self) -> str:
        self.count += 1
        return f"t{self.count}"

    def pick(self, names: list[str]) -> str:
        return self.random.choice(names)

    def test(self, names: list[str]) -> Condition:
        return Condition(self.pick(list(COMPARISONS)), self.name(), (self.pick(names), self.pick(names)))

    def block(self, depth: int, visible: list[str]) -> tuple[list[Any], list[str]]:
        """Statements, and the names visible after them."""
        names, statements = list(visible), []
        for _ in range(self.random.randint(1, 4)):
            kind = self.random.random() if depth else 0.0
            statement = self.operation(names) if kind < 0.5 else self.nested(kind, depth - 1, names)
            statements.append(statement)
            names += [statement.result] if isinstance(statement, Operation) else statement.results
        return statements, names

    def operation(self, names: list[str]) -> Operation:
        return Operation(self.pick(list(OPERATIONS)), self.name(), (self.pick(names), self.pick(names)))

    def nested(self, kind: float, depth: int, names: list[str]) -> Selection | Loop:
        if kind < 0.75:
            results = [self.name() for _ in range(self.random.randint(0, 2))]
            arms = [self.block(depth, names) for _ in range(2)]
            ends = [(body, [self.pick(visible) for _ in results]) for body, visible in arms]
            return Selection(self.test(names), results, ends)
        counter, carried = self.name(), [self.name() for _ in range(self.random.randint(0, 3))]
        body, visible = self.block(depth, [*names, *carried, counter])
        through_variables = self.random.random() < 0.4
        return Loop(
            counter,
            # The variable of a loop that never runs has no value.
            self.random.randint(1 if through_variables else 0, 4),
            carried,
            [self.pick(names) for _ in carried],
            body,
            [self.pick([*visible, *carried]) for _ in carried],
            [self.name() for _ in carried[: self.random.randint(0, 3)]],
            through_variables,
            self.test(visible) if not through_variables and self.random.random() < 0.3 else None,
        )


@pytest.fixture(params=sorted(ADAPTERS), scope="module")
def device(request: pytest.FixtureRequest) -> Any:
    part, _ = ADAPTERS[request.param]
    return wgpu_device(part)


@pytest.mark.parametrize("number", range(PROGRAMS))
def test_program(number: int, device: Any) -> None:
    author = Author(SEED + number)
    statements, names = author.block(4, ["a", "index", "one"])
    statements.append(Operation("BitwiseXor", "r", (names[-1], author.pick(names))))
    expected = []
    for index, value in enumerate(INPUTS):
        values = {"a": value, "index": index, "one": 1, "zero": 0}
        run_all(statements, values)
        expected.append(values["r"])
    text = kernel_text("\n".join(texts(statements)), ["i32"], "i32")
    shader = translate_text(text)
    source = np.array(INPUTS, np.int64).astype(np.int32)
    found = run_wgsl(device, shader, [source, np.zeros_like(source)], (len(INPUTS), 1, 1))[1]
    assert found.tolist() == expected, f"seed {SEED}, program {number}\n{text}\n{shader.source}"
