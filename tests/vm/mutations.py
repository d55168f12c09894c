"""Loads and runs damaged modules, in a process of its own so that a hang or a crash is seen as such.

Enters: on stdin, pickled (seed, count, modules), the first three of which are large. Leaves: on stdout, one line of
JSON: how many mutants were refused, failed at run time or ran, and what escaped that should not. Every mutant has a
limited number of Python steps.
"""

from __future__ import annotations

import json
import pickle
import random
import sys
import traceback
from types import FrameType
from typing import Any

from webree.errors import InvocationError, ModuleError
from webree.module.disassembler import disassemble
from webree.module.isa import Opcode, all_opcodes, decode
from webree.module.reader import ModuleFile, read_module
from webree.module.source import MemorySource
from webree.module.verifier import verify
from webree.vm.context import Context
from webree.waiting import run_sync

_MAX_STEPS = 3_000


class _OutOfSteps(BaseException):
    """The mutant loops: legal, and not ours to end."""


class _Steps:
    """Counts the lines that run, in translated functions only."""

    def __init__(self) -> None:
        self.left = 0

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith("<webree function"):
            return None
        self.left -= 1
        if self.left < 0:
            raise _OutOfSteps
        return self


def change_program(data: bytes, rng: random.Random) -> bytes:
    """Other opcodes with the same kinds of operands, registers, immediates: much of it passes the verifier."""
    out = bytearray(data)
    module = read_module(MemorySource(data))
    begin = data.index(bytes(module.bytecode))
    for _ in range(rng.randint(1, 6)):
        ordinal = rng.randrange(len(module.functions))
        instruction = rng.choice(decode(module.code(ordinal), "mutant"))
        opcode = instruction.opcode
        position = begin + module.functions[ordinal].byte_offset + instruction.pc + (opcode.prefix is not None)
        others = [o for o in all_opcodes() if o.prefix == opcode.prefix and _layout(o) == _layout(opcode)]
        if rng.random() < 0.5:
            out[position] = rng.choice(others).code
        elif opcode.fixed is not None and opcode.operands:
            word = position + 1 + 2 * rng.randrange(opcode.fixed.size // 2)
            out[word] = rng.choice((0, 2, 4, 6, rng.randrange(8)))
        elif instruction.next_pc - instruction.pc > 1:
            out[position + rng.randrange(1, instruction.next_pc - instruction.pc)] = rng.randrange(8)
    return bytes(out)


def _layout(opcode: Opcode) -> list[str]:
    """Operand kinds, as far as the verifier tells them apart."""
    return [{"f": "i", "F": "I", "R": "r"}.get(o.kind, o.kind) + (">" if o.is_result else "") for o in opcode.operands]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """A changed program, or damage anywhere."""
    if rng.random() < 0.6:
        return change_program(data, rng)
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        position = rng.randrange(len(out))
        kind = rng.random()
        if kind < 0.4:
            out[position] ^= 1 << rng.randrange(8)
        elif kind < 0.7:
            out[position] = rng.choice((0, 1, 2, 0x79, 0x7F, 0x80, 0xC0, 0xFF, rng.randrange(256)))
        elif kind < 0.9:
            word = rng.choice((0, 1, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, len(out), rng.getrandbits(32)))
            out[position : position + 4] = word.to_bytes(4, "little")
        elif kind < 0.95:
            del out[max(position, 1) :]
        else:
            size = rng.randrange(1, 64)
            source = rng.randrange(len(out))
            out[position : position + size] = out[source : source + size]
    return bytes(out)


def _run(module: ModuleFile, rng: random.Random, steps: _Steps) -> None:
    context = run_sync(Context.create(module, ()))
    for function in context.exports.values():
        letters = function.signature.calling_convention.arguments
        arguments = [None if letter == "r" else rng.randint(-2, 9) for letter in letters]
        steps.left = _MAX_STEPS
        try:
            run_sync(function.invoke(arguments))
        except (InvocationError, _OutOfSteps):
            pass
    run_sync(context.close())


def main() -> None:
    seed, count, modules = pickle.load(sys.stdin.buffer)
    rng = random.Random(seed)
    counts = {"refused": 0, "ran": 0, "failed": 0}
    escaped: list[str] = []
    steps = _Steps()
    for number in range(count):
        # The first modules are large: nearly all damage shows in one function or another.
        large = rng.random() < 0.25
        data = mutate(rng.choice(modules[:3] if large else modules[3:]), rng)
        steps.left = _MAX_STEPS
        sys.settrace(steps)
        try:
            module = read_module(MemorySource(data))
            _run(module, rng, steps)
            sys.settrace(None)
            disassemble(module)
            counts["ran"] += 1
        except ModuleError:
            counts["refused"] += 1
        except (InvocationError, _OutOfSteps):
            counts["failed"] += 1
        except BaseException:
            escaped.append(f"mutant {number}: {traceback.format_exc()[-1500:]}")
        finally:
            sys.settrace(None)
    verify(read_module(MemorySource(modules[0])))
    print(json.dumps({**counts, "escaped": escaped}))


if __name__ == "__main__":
    main()
