"""The conformance kernels as VMVX programs, compiled by the stock compiler from MLIR written here.

Enters: nothing. Leaves: for each name an executable whose only export is `<name>$dispatch` (`pair` has two). Bindings
are words; kernels that cannot know a binding's length work on 64 of them.
"""

from __future__ import annotations

from functools import cache

from tests.hal_cts.kernels import BINDING_COUNTS, ECHO_COUNTS

__all__ = ["FORMAT", "executables"]

FORMAT = "vmvx-bytecode-fb"

Kernel = tuple[int, int, str]
"""Number of constants, number of bindings, body: operations that may use %k0.. (constants), %b0.. (words, 1 MiB of
them in name), %x %y %z (the workgroup's id), %nx %ny %nz (the workgroup count), %w (its width) and %c0 to %c9, %c64."""

_WORDS = "memref<262144xi32>"


def _each(end: str, body: str) -> str:
    """`body` for %i from 0 up to `end`."""
    return f"scf.for %i = %c0 to {end} step %c1 {{\n{body}\n}}"


def _load(name: str, binding: int, index: str = "%i") -> str:
    return f"{name} = memref.load %b{binding}[{index}] : {_WORDS}\n"


def _store(value: str, binding: int, index: str = "%i") -> str:
    return f"memref.store {value}, %b{binding}[{index}] : {_WORDS}\n"


_AFFINE = f"""
  %n = arith.index_cast %k2 : i32 to index
  %begin = arith.muli %x, %c64 : index
  %full = arith.addi %begin, %c64 : index
  %end = arith.minui %full, %n : index
  scf.for %i = %begin to %end step %c1 {{
    {_load("%a", 0)}
    %b = arith.muli %a, %k0 : i32
    %c = arith.addi %b, %k1 : i32
    {_store("%c", 1)}
  }}
"""
_NEGATE = _each(
    "%c64", f"{_load('%a', 1)} %m = arith.constant -1 : i32\n %b = arith.xori %a, %m : i32\n" + _store("%b", 0)
)
_MIX = _each(
    "%c64",
    f"""{_load("%a", 0)} {_load("%b", 1)}
    %three = arith.constant 3 : i32
    %c = arith.muli %a, %three : i32
    %d = arith.addi %c, %b : i32
    {_store("%d", 1)}""",
)
_TAIL = "%n = arith.index_cast %k0 : i32 to index\n" + _each("%n", _load("%a", 0) + _store("%a", 1))
_COUNT = (
    f"%one = arith.constant 1 : i32\n{_load('%a', 0, '%c0')} %b = arith.addi %a, %one : i32\n{_store('%b', 0, '%c0')}"
)
_FAIL = """
  %many = arith.constant 1000000 : index
  %absurd = arith.cmpi uge, %x, %many : index
  cf.assert %absurd, "told to fail"
"""


def _groups() -> str:
    lines = [
        "%t0 = arith.muli %z, %ny : index",
        "%t1 = arith.addi %t0, %y : index",
        "%t2 = arith.muli %t1, %nx : index",
        "%t3 = arith.addi %t2, %x : index",
        "%t4 = arith.muli %t3, %c9 : index",
    ]
    for place, value in enumerate(("%x", "%y", "%z", "%nx", "%ny", "%nz", "%c1", "%c0", "%w")):
        lines += [
            f"%at{place} = arith.constant {place} : index",
            f"%to{place} = arith.addi %t4, %at{place} : index",
            f"%word{place} = arith.index_cast {value} : index to i32",
            _store(f"%word{place}", 0, f"%to{place}"),
        ]
    return "\n".join(lines)


def _sum(count: int) -> str:
    lines = ["%s0 = arith.constant 0 : i32"]
    for k in range(count):
        lines += [_load(f"%a{k}", k, "%x"), f"%s{k + 1} = arith.addi %s{k}, %a{k} : i32"]
    return "\n".join([*lines, _store(f"%s{count}", count - 1, "%x")]) if count else ""


def _echo(count: int) -> str:
    lines = [f"%at{k} = arith.constant {k} : index\n" + _store(f"%k{k}", 0, f"%at{k}") for k in range(count)]
    return "\n".join(lines) or f"%v = arith.constant 77 : i32\n{_store('%v', 0, '%c0')}"


def _kernels() -> dict[str, Kernel]:
    return {
        "affine": (3, 2, _AFFINE),
        "negate": (0, 2, _NEGATE),
        "mix_into": (0, 2, _MIX),
        "tail": (1, 2, _TAIL),
        "count": (0, 1, _COUNT),
        "trap": (0, 0, _FAIL),
        "status": (0, 0, _FAIL),
        "groups": (0, 1, _groups()),
        **{f"sum{n}": (0, n, _sum(n)) for n in BINDING_COUNTS},
        **{f"echo{n}": (n, 1, _echo(n)) for n in ECHO_COUNTS},
    }


def _source(kernels: dict[str, Kernel]) -> str:
    """A `hal.executable.source` with these kernels."""
    heads, exports, functions = [], [], []
    for ordinal, (name, (constant_count, binding_count, body)) in enumerate(kernels.items()):
        bindings = ", ".join(["#hal.pipeline.binding<storage_buffer>"] * binding_count)
        heads.append(f"#layout{ordinal} = #hal.pipeline.layout<constants = {constant_count}, bindings = [{bindings}]>")
        exports.append(
            f'hal.executable.export public @"{name}$dispatch" ordinal({ordinal}) layout(#layout{ordinal}) '
            "count(%device: !hal.device, %x: index, %y: index, %z: index) -> (index, index, index) {\n"
            "hal.return %x, %y, %z : index, index, index }"
        )
        lines = [f"%c{value} = arith.constant {value} : index" for value in (0, 1, 9, 64)]
        lines += [f"%{axis} = hal.interface.workgroup.id[{k}] : index" for k, axis in enumerate("xyz")]
        lines += [f"%n{axis} = hal.interface.workgroup.count[{k}] : index" for k, axis in enumerate("xyz")]
        lines += ["%w = hal.interface.workgroup.size[0] : index"]
        lines += [
            f"%k{k} = hal.interface.constant.load layout(#layout{ordinal}) ordinal({k}) : i32"
            for k in range(constant_count)
        ]
        lines += [
            f"%b{k} = hal.interface.binding.subspan layout(#layout{ordinal}) binding({k}) offset(%c0) : {_WORDS}"
            for k in range(binding_count)
        ]
        functions.append(f'func.func @"{name}$dispatch"() {{\n' + "\n".join(lines) + f"\n{body}\nreturn }}")
    parts = ["hal.executable.source public @kernels {", *exports, "builtin.module {", *functions, "}", "}"]
    return "\n".join([*heads, *parts])


@cache
def executables() -> dict[str, bytes]:
    """The bytes of every executable."""
    from iree.compiler.tools import compile_str

    found = _kernels()
    sources = {name: _source({name: kernel}) for name, kernel in found.items()}
    sources["pair"] = _source({name: found[name] for name in ("affine", "count")})
    flags = [
        "--compile-mode=hal-executable",
        "--iree-hal-target-device=local",
        "--iree-hal-local-target-device-backends=vmvx",
    ]
    return {name: compile_str(text, extra_args=flags) for name, text in sources.items()}
