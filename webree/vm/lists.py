"""Lists (`!vm.list`): growable arrays of numbers or references.

Enters: an element type by name; `vm.opaque` (untyped) lists hold anything. Leaves: `VmList` objects, and the functions
behind the `list.*` instructions. Numbers are converted on the way in (to a typed list's element) and out (to the type
that the instruction names) within integers and within floats; across the two the result is 0. What has never been set
is 0 in a list of numbers and null elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from webree.errors import InvocationError, StatusCode
from webree.vm.arithmetic import round_f32, wrap32

__all__ = ["VmList"]

MAX_LENGTH = 1 << 24


def _to_i32(x: int | float) -> int:
    return wrap32(x) if isinstance(x, int) else 0


def _to_i64(x: int | float) -> int:
    return x if isinstance(x, int) else 0


def _to_i16(x: int | float) -> int:
    return (x + 0x8000 & 0xFFFF) - 0x8000 if isinstance(x, int) else 0


def _to_i8(x: int | float) -> int:
    return (x + 0x80 & 0xFF) - 0x80 if isinstance(x, int) else 0


def _to_f32(x: int | float) -> float:
    return round_f32(x) if isinstance(x, float) else 0.0


def _to_f64(x: int | float) -> float:
    return x if isinstance(x, float) else 0.0


_CONVERSIONS: dict[str, Callable[[int | float], Any]] = {
    "i8": _to_i8,
    "i16": _to_i16,
    "i32": _to_i32,
    "i64": _to_i64,
    "f32": _to_f32,
    "f64": _to_f64,
}


class VmList:
    """A list.

    Attributes:
        items: the elements: ints, floats, references, None where unset or null.
        element_type: name of the elements' type (`i32`, `!hal.buffer`; `!vm.opaque` for any).
        zero: what an element is before it is set.
    """

    __slots__ = ("_convert", "_kind", "element_type", "items", "zero")

    vm_type = "vm.list"

    def __init__(self, element_type: str = "!vm.opaque", items: Iterable[Any] = (), kind: Any = object) -> None:
        """A list of `items`; `kind` is the Python class (or a tuple of them) that references must have."""
        self.element_type = element_type
        self.items: list[Any] = list(items)
        self._convert = _CONVERSIONS.get(element_type)
        self.zero = None if self._convert is None else 0.0 if element_type[0] == "f" else 0
        self._kind = kind

    def __len__(self) -> int:
        return len(self.items)

    def holds_numbers(self) -> bool:
        return self._convert is not None or self.element_type == "!vm.opaque"

    def holds_references(self) -> bool:
        return self._convert is None

    def __repr__(self) -> str:
        return f"<vm.list of {len(self.items)} {self.element_type}>"


def _check_list(value: Any) -> VmList:
    if not isinstance(value, VmList):
        found = "null" if value is None else f"a {type(value).__name__}"
        raise InvocationError(f"expected a list, found {found}", status=StatusCode.INVALID_ARGUMENT)
    return value


def _check_index(value: Any, index: int) -> VmList:
    found = _check_list(value)
    if not 0 <= index < len(found.items):
        raise InvocationError(
            f"index {index} is outside a list of {len(found.items)} elements", status=StatusCode.OUT_OF_RANGE
        )
    return found


def _check_length(length: int) -> int:
    if not 0 <= length <= MAX_LENGTH:
        raise InvocationError(
            f"a list of {length & 0xFFFFFFFF} elements; the longest has {MAX_LENGTH}",
            status=StatusCode.RESOURCE_EXHAUSTED,
        )
    return length


def list_alloc(element_type: str, kind: Any, capacity: int) -> VmList:
    return VmList(element_type, (), kind)


def list_reserve(value: Any, capacity: int) -> None:
    _check_list(value)
    _check_length(capacity)


def list_size(value: Any) -> int:
    return len(_check_list(value).items)


def list_resize(value: Any, length: int) -> None:
    value = _check_list(value)
    missing = _check_length(length) - len(value.items)
    if missing > 0:
        value.items.extend([value.zero] * missing)
    else:
        del value.items[length:]


def _getter(convert: Callable[[int | float], Any]) -> Callable[[Any, int], Any]:
    def get(value: Any, index: int) -> Any:
        element = _check_index(value, index).items[index]
        if not isinstance(element, int | float):
            found = "null" if element is None else "a reference"
            raise InvocationError(
                f"list element {index} is {found}, not a number", status=StatusCode.FAILED_PRECONDITION
            )
        return convert(element)

    return get


def _setter(value: Any, index: int, element: int | float) -> None:
    value = _check_index(value, index)
    if not value.holds_numbers():
        raise InvocationError(
            f"cannot store a number in a list of {value.element_type}", status=StatusCode.INVALID_ARGUMENT
        )
    value.items[index] = element if value._convert is None else value._convert(element)


list_get_i32, list_get_i64 = _getter(_to_i32), _getter(_to_i64)
list_get_f32, list_get_f64 = _getter(_to_f32), _getter(_to_f64)
list_set_i32 = list_set_i64 = list_set_f32 = list_set_f64 = _setter


def list_get_ref(value: Any, index: int, kind: Any) -> Any:
    """The reference at `index`, or null if it is not of `kind`."""
    element = _check_index(value, index).items[index]
    if isinstance(element, int | float):
        raise InvocationError(
            f"list element {index} is a number, not a reference", status=StatusCode.FAILED_PRECONDITION
        )
    return element if isinstance(element, kind) else None


def list_take_ref(value: Any, index: int, kind: Any) -> Any:
    """As `list_get_ref`, leaving null in the list."""
    element = list_get_ref(value, index, kind)
    if element is not None:
        value.items[index] = None
    return element


def list_set_ref(value: Any, index: int, element: Any) -> None:
    value = _check_index(value, index)
    if not value.holds_references() or not (element is None or isinstance(element, value._kind)):
        found = "null" if element is None else f"a {type(element).__name__}"
        raise InvocationError(
            f"cannot store {found} in a list of {value.element_type}", status=StatusCode.INVALID_ARGUMENT
        )
    value.items[index] = element
