"""The text of a check file, cut into what is compiled and run on its own.

Enters: the bytes of an MLIR file. Leaves: its parts (a line `// -----` stands between two modules), the names of the
functions in a part that take no arguments, and a part reduced to one of them, with what it calls. The cuts follow the
lines of the text and need no parser, so that one function which the compiler cannot even parse leaves the others alone.
Lines keep their numbers, because errors name them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["CheckFunction", "find_functions", "only", "split_modules"]

_SEPARATOR = re.compile(r"^\s*// -----+\s*$")
_FUNCTION = re.compile(
    r"^(?P<indent>\s*)(?:func|util)\.func\s+(?P<private>private\s+)?(?:public\s+)?@(?P<name>[\w.$-]+|\"[^\"]*\")\s*"
    r"\((?P<arguments>)"
)
_REFERENCE = re.compile(r"@([\w.$-]+|\"[^\"]*\")")


@dataclass(frozen=True, slots=True)
class CheckFunction:
    """A function in the text.

    Attributes:
        name: without `@` and quotes.
        first_line, last_line: counted from 0, both part of it.
        is_check: public, with a body and without arguments.
    """

    name: str
    first_line: int
    last_line: int
    is_check: bool


def split_modules(text: str) -> list[str]:
    """The modules of a file, each with empty lines in front in place of those before it; empty modules left out."""
    parts: list[list[str]] = [[]]
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if _SEPARATOR.match(line):
            parts.append([""] * (number + 1))
        else:
            parts[-1].append(line)
    return [part for part in ("\n".join(lines) for lines in parts) if _has_content(part)]


def find_functions(text: str) -> list[CheckFunction]:
    """All functions of a module, in order."""
    return list(_functions(text.split("\n")))


def only(text: str, name: str) -> str:
    """The module with the function of that name, everything that is no function, and the functions that these refer to;
    the other functions are empty lines."""
    lines = text.split("\n")
    functions = {function.name: function for function in _functions(lines)}
    inside = {line for function in functions.values() for line in range(function.first_line, function.last_line + 1)}
    kept: set[str] = set()
    wanted = [name, *_references(line for number, line in enumerate(lines) if number not in inside)]
    while wanted:
        following = wanted.pop()
        if following in functions and following not in kept:
            kept.add(following)
            function = functions[following]
            wanted += _references(lines[function.first_line + 1 : function.last_line + 1])
    dropped = {
        line
        for function in functions.values()
        if function.name not in kept
        for line in range(function.first_line, function.last_line + 1)
    }
    return "\n".join("" if number in dropped else line for number, line in enumerate(lines))


def _functions(lines: list[str]) -> Iterator[CheckFunction]:
    number = 0
    while number < len(lines):
        match = _FUNCTION.match(lines[number])
        if match is None:
            number += 1
            continue
        last = _last_line(lines, number, match["indent"])
        has_body = last > number or "{" in lines[number][match.end() :]
        arguments = "\n".join(lines[number : last + 1])[match.start("arguments") :].partition(")")[0]
        is_check = has_body and not match["private"] and not arguments.strip()
        yield CheckFunction(match["name"].strip('"'), number, last, is_check)
        number = last + 1


def _last_line(lines: list[str], first: int, indent: str) -> int:
    """A function ends with the line that closes its brace: one of the same indentation, or its only line."""
    code = lines[first].partition("//")[0]
    if code.count("{") == code.count("}") and not code.rstrip().endswith(("(", ",")):
        return first
    closing = re.compile(rf"^{re.escape(indent)}}}")
    return next((number for number in range(first + 1, len(lines)) if closing.match(lines[number])), len(lines) - 1)


def _references(lines: Iterator[str] | list[str]) -> list[str]:
    return [name.strip('"') for line in lines for name in _REFERENCE.findall(line.partition("//")[0])]


def _has_content(part: str) -> bool:
    return any(line.strip() and not line.strip().startswith("//") for line in part.split("\n"))
