"""Sums of products of bytes -> packed dot products.

Enters: a `SpirvModule`. Leaves: the same module, in which four products of the bytes of two words that are added up
are one `spirv.SDot` or `spirv.UDot`, which WGSL has as `dot4I8Packed` and `dot4U8Packed`. The kernels come from
schedules/packed.py: they shift each byte out of its word and multiply, which is right on any target; here that is found
again, whatever the passes made of the vectors around it. Sums wrap around, so they may be added up in any order.
Spec: https://www.w3.org/TR/WGSL/#packed-4x8-integer-dot-product
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from webree.codegen_wgsl.spirv import Function, Op, SpirvModule, Value, walk
from webree.codegen_wgsl.types import I32, Scalar, Type, Vector

__all__ = ["find_dots"]

_LANES = 4
_BITS = 8
_TOP = 24  # bits below a word's highest byte
_LOW = 255
# May be dropped where nobody uses their results.
_PURE = frozenset(
    f"spirv.{name}"
    for name in (
        "BitwiseAnd",
        "CompositeConstruct",
        "CompositeExtract",
        "CompositeInsert",
        "IAdd",
        "IMul",
        "ShiftLeftLogical",
        "ShiftRightArithmetic",
        "ShiftRightLogical",
        "VectorShuffle",
    )
)


@dataclass(frozen=True, slots=True)
class _Element:
    """A component of a vector, or a scalar (index 0)."""

    value: Value
    index: int


@dataclass(frozen=True, slots=True)
class _Byte:
    """A byte of a word, as a number with or without a sign."""

    word: _Element
    lane: int
    is_signed: bool


@dataclass(frozen=True, slots=True)
class _Product:
    """Per component of a result, the two words whose bytes are multiplied."""

    words: tuple[tuple[_Element, _Element], ...]
    is_signed: bool


def find_dots(module: SpirvModule) -> int:
    """Rewrite a module in place; returns how many sums of four products became dot products."""
    return sum(_rewrite(op) for function in module.functions.values() for op in _sums(function))


def _sums(function: Function) -> list[Op]:
    """Additions whose result is not a term of another one."""
    adding = [op for op in walk(function.body) if op.name == "spirv.IAdd"]
    return [op for op in adding if len(op.result.uses) != 1 or op.result.uses[0].name != "spirv.IAdd"]


def _terms(value: Value, *, is_top: bool = True) -> Iterator[Value]:
    """What a chain or a tree of additions adds up."""
    if value.op is not None and value.op.name == "spirv.IAdd" and (is_top or len(value.uses) == 1):
        for operand in value.op.operands:
            yield from _terms(operand, is_top=False)
    else:
        yield value


def _rewrite(op: Op) -> int:
    terms = list(_terms(op.result))
    groups: dict[_Product, dict[int, Value]] = {}
    left: list[Value] = []
    for term in terms:
        found = _product(term)
        lanes = groups.setdefault(found[0], {}) if found is not None else {}
        if found is None or found[1] in lanes:
            left.append(term)
        else:
            lanes[found[1]] = term
    dots = [product for product, lanes in groups.items() if len(lanes) == _LANES]
    if not dots:
        return 0
    left += [term for lanes in groups.values() if len(lanes) < _LANES for term in lanes.values()]
    builder = _Builder(op)
    total: Value | None = None
    for value in [*left, *(builder.dots(product) for product in dots)]:
        total = value if total is None else builder.make("spirv.IAdd", [total, value], value.type)
    assert total is not None
    builder.replace(total)
    return len(dots)


def _product(term: Value) -> tuple[_Product, int] | None:
    """The words that a term multiplies a byte of, and which byte; None if it is anything else."""
    if term.op is None or term.op.name != "spirv.IMul":
        return None
    count = term.type.count if isinstance(term.type, Vector) else 1
    pairs = [tuple(_byte(_element(operand, index)) for operand in term.op.operands) for index in range(count)]
    bytes_ = [byte for pair in pairs for byte in pair]
    first = bytes_[0]
    if first is None or any(
        byte is None or (byte.lane, byte.is_signed) != (first.lane, first.is_signed) for byte in bytes_
    ):
        return None
    words = tuple((left.word, right.word) for left, right in pairs if left is not None and right is not None)
    return _Product(words, first.is_signed), first.lane


def _byte(element: _Element) -> _Byte | None:
    op = element.value.op
    if op is None:
        return None
    if op.name == "spirv.BitwiseAnd" and _constant(op.operands[1], element.index) == _LOW:
        return _Byte(_element(op.operands[0], element.index), 0, False)
    is_signed = op.name == "spirv.ShiftRightArithmetic"
    if not (is_signed or op.name == "spirv.ShiftRightLogical") or _constant(op.operands[1], element.index) != _TOP:
        return None
    word = _element(op.operands[0], element.index)
    moved = word.value.op
    if moved is not None and moved.name == "spirv.ShiftLeftLogical":
        amount = _constant(moved.operands[1], word.index)
        if amount is not None and amount in range(0, _TOP + 1, _BITS):
            return _Byte(_element(moved.operands[0], word.index), _LANES - 1 - amount // _BITS, is_signed)
    return _Byte(word, _LANES - 1, is_signed)


def _constant(value: Value, index: int) -> int | None:
    element = _element(value, index)
    op = element.value.op
    if op is None or op.name != "spirv.Constant":
        return None
    number = op.attributes["value"]
    return int(number[element.index] if isinstance(number, list) else number)


def _element(value: Value, index: int) -> _Element:
    """A component, followed to where it comes from."""
    op = value.op
    match op.name if op is not None else "":
        case "spirv.CompositeConstruct" if op is not None and isinstance(value.type, Vector):
            for operand in op.operands:
                count = operand.type.count if isinstance(operand.type, Vector) else 1
                if index < count:
                    return _element(operand, index)
                index -= count
        case "spirv.CompositeExtract" if op is not None and isinstance(op.operands[0].type, Vector):
            return _element(op.operands[0], op.attributes["indices"][0])
        case "spirv.CompositeInsert" if op is not None and isinstance(value.type, Vector):
            here = op.attributes["indices"][0] == index
            return _element(op.operands[0], 0) if here else _element(op.operands[1], index)
        case "spirv.VectorShuffle" if op is not None and isinstance(op.operands[0].type, Vector):
            chosen, count = op.attributes["components"][index], op.operands[0].type.count
            return _element(op.operands[0], chosen) if chosen < count else _element(op.operands[1], chosen - count)
    return _Element(value, index)


class _Builder:
    """Makes operations before one, and puts a value in the place of its result."""

    def __init__(self, op: Op) -> None:
        self._op = op
        self._words: dict[_Element, Value] = {}

    def make(self, name: str, operands: Sequence[Value], kind: Type, **attributes: object) -> Value:
        """A new operation's result."""
        block = self._op.block
        new = Op(name, block, list(operands), [], dict(attributes), [], [], self._op._source)
        new.results = [Value(kind, new)]
        for operand in operands:
            operand.uses.append(new)
        block.ops.insert(block.ops.index(self._op), new)
        return new.result

    def dots(self, product: _Product) -> Value:
        """The dot products of all components."""
        name = "spirv.SDot" if product.is_signed else "spirv.UDot"
        made = [self.make(name, [self._word(left), self._word(right)], I32) for left, right in product.words]
        if isinstance(self._op.result.type, Scalar):
            return made[0]
        return self.make("spirv.CompositeConstruct", made, self._op.result.type)

    def _word(self, element: _Element) -> Value:
        if isinstance(element.value.type, Scalar):
            return element.value
        if element not in self._words:
            self._words[element] = self.make("spirv.CompositeExtract", [element.value], I32, indices=[element.index])
        return self._words[element]

    def replace(self, value: Value) -> None:
        """Let the users of the result use another value, and drop what is not needed any more."""
        old = self._op.result
        for user in old.uses:
            user.operands[:] = [value if operand is old else operand for operand in user.operands]
            for _, passed in user.successors:
                passed[:] = [value if operand is old else operand for operand in passed]
        value.uses += old.uses
        old.uses = []
        _drop(self._op)


def _drop(op: Op) -> None:
    """Remove an operation without users, and those that only it used."""
    if op.name not in _PURE or any(result.uses for result in op.results):
        return
    op.block.ops.remove(op)
    for operand in op.operands:
        operand.uses.remove(op)
    for operand in dict.fromkeys(op.operands):
        if operand.op is not None and not operand.uses:
            _drop(operand.op)
