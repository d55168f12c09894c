"""Programs assembled by hand: opcodes that the compiler does not emit, and registers used in ways it does not use them.

Enters: nothing. Leaves: `MODULE`, to be run like the compiled ones; arguments and results are i32 and i64.
"""

from __future__ import annotations

from tests.vm.assembler import IMPORT, Function, Module, move, r

_TYPES = ("i32", "!vm.buffer", "!vm.opaque", "!vm.list<?>")
_BUFFER, _ANY, _LIST = 1, 2, 3


def _casts() -> list[Function]:
    """Casts between f64 and i32, which the compiler splits in two."""
    functions = []
    for sign in "su":
        functions.append(
            Function(
                f"cast_{sign}i32_f64",
                "0i_I",
                [("block",), (f"cast.{sign}i32.f64", 0, 2), ("bitcast.f64.i64", 2, 4), ("return", [4])],
            )
        )
        functions.append(
            Function(
                f"cast_f64_{sign}i32",
                "0I_i",
                [
                    ("block",),
                    # Small values only: IREE's runtime rounds to f32 on the way.
                    ("const.i64", 0xFFFFFF, 2),
                    ("and.i64", 0, 2, 0),
                    ("cast.si64.f64", 0, 2),
                    ("const.f64", -0.25, 4),
                    ("mul.f64", 2, 4, 2),
                    (f"cast.f64.{sign}i32", 2, 6),
                    ("return", [6]),
                ],
            )
        )
    return functions


def _indirect_globals() -> list[Function]:
    """Global accesses whose address is in a register: 8 bytes per kind, 2 references."""
    functions = []
    for position, (kind, letter, convert) in enumerate(
        (("i32", "i", None), ("i64", "I", None), ("f32", "i", "cast.s{}.f32"), ("f64", "I", "cast.s{}.f64"))
    ):
        carrier = {"f32": "i32", "f64": "i64"}.get(kind, kind)
        rows: list[tuple[object, ...]] = [("block",), ("const.i32", 8 * position, 0)]
        if convert:
            rows.append((convert.format(carrier), 2, 2))
        rows += [(f"global.load.indirect.{kind}", 0, 4), (f"global.store.indirect.{kind}", 0, 2)]
        if convert:
            rows.append((f"bitcast.{kind}.{carrier}", 4, 4))
        rows.append(("return", [4]))
        # The first argument is only there to put the second at an even register.
        functions.append(Function(f"global_indirect_{kind}", f"0I{letter}_{letter}", rows))
    functions.append(
        Function(
            "global_indirect_ref",
            "0I_I",
            [
                ("block",),
                ("const.i64", 31, 2),
                ("and.i64", 0, 2, 0),
                ("const.i32", 1, 4),
                ("const.i32", 16, 5),
                ("global.load.indirect.ref", 4, _BUFFER, r(0)),
                ("buffer.alloc", 0, 5, r(1)),
                ("global.store.indirect.ref", 4, _BUFFER, move(1)),
                ("cmp.nz.ref", r(0), 5),
                ("cond_br", 5, "some", [], "none", []),
                ("block", "none"),
                ("const.i64", -1, 6),
                ("return", [6]),
                ("block", "some"),
                ("buffer.length", r(0), 6),
                ("return", [6]),
            ],
        )
    )
    return functions


_PUNNED = [
    # f32 bits read as an i32, halves of an i64 read and written alone, words swapped by a branch.
    Function(
        "pun_float",
        "0i_i",
        [("block",), ("cast.si32.f32", 0, 1), ("br", "next", [(1, 3)]), ("block", "next"), ("return", [3])],
    ),
    Function(
        "pun_half",
        "0Ii_ii",
        [("block",), ("add.i32", 0, 2, 3), ("add.i32", 1, 2, 4), ("return", [3, 4])],
    ),
    Function(
        "pun_join",
        "0ii_I",
        [("block",), ("br", "next", [(0, 5), (1, 4)]), ("block", "next"), ("return", [4])],
    ),
    Function(
        "pun_overwrite",
        "0Ii_I",
        [("block",), ("assign.ref", r(0), r(1)), ("const.i32", -7, 1), ("return", [0])],
    ),
    Function(
        "pun_double",
        "0I_iI",
        [
            ("block",),
            ("cast.si64.f64", 0, 2),
            ("xor.i32", 2, 3, 4),
            ("const.f64.zero", 6),
            ("add.f64", 2, 6, 6),
            ("return", [4, 6]),
        ],
    ),
    Function(
        "unset",
        "0i_iI",
        [
            ("block",),
            ("cond_br", 0, "set", [], "join", []),
            ("block", "set"),
            ("const.i32", 9, 1),
            ("const.i64", 1 << 40, 2),
            ("br", "join", []),
            ("block", "join"),
            ("return", [1, 2]),
        ],
    ),
]

_CONTROL = [
    Function(
        "factorial",
        "0i_i",
        [
            ("block",),
            ("const.i32", 7, 1),
            ("and.i32", 0, 1, 0),
            ("const.i32", 2, 1),
            ("cmp.lt.i32.s", 0, 1, 2),
            ("cond_br", 2, "base", [], "step", []),
            ("block", "base"),
            ("const.i32", 1, 3),
            ("return", [3]),
            ("block", "step"),
            ("const.i32", 1, 3),
            ("sub.i32", 0, 3, 1),
            ("call", "self", [1], [1]),
            ("mul.i32", 0, 1, 0),
            ("return", [0]),
        ],
    ),
    Function(
        "fail_falls_through",
        "0i_i",
        [
            ("block",),
            ("const.i32", 15, 1),  # not 17, which makes IREE's runtime wait for ever
            ("and.i32", 0, 1, 0),
            ("fail", 0, "status in a register"),
            ("block", "next"),
            ("const.i32", 5, 1),
            ("return", [1]),
        ],
    ),
    Function(
        "breaks",
        "0i_i",
        [
            ("block",),
            ("trace", "here", [0]),
            ("print", "there", [0]),
            ("break", "a", [(0, 1)]),
            ("block", "a"),
            ("cond_break", 9, "b", [(1, 2)]),
            ("block", "b"),
            ("return", [2]),
        ],
        i32_count=10,
    ),
    Function(
        "call_yieldable",
        "0i_i",
        [
            ("block",),
            ("call.yieldable", "factorial", [0], "next", [3]),
            ("block", "next"),
            ("add.i32", 0, 3, 0),
            ("return", [0]),
        ],
    ),
    Function(
        "null_cast",
        "0i_i",
        [
            ("block",),
            ("const.ref.zero", r(0)),
            ("cast.any.ref", move(0), _BUFFER, r(1)),
            ("cmp.nz.ref", r(1), 1),
            ("return", [1]),
        ],
    ),
    Function(
        "wrong_cast",
        "0i_i",
        [
            ("block",),
            ("const.i32", 2, 1),
            ("list.alloc", _ANY, 1, r(0)),
            ("cast.any.ref", move(0), _BUFFER, r(1)),
            ("return", [0]),
        ],
    ),
    Function(
        "moves",
        "0i_iii",
        [
            ("block",),
            ("const.ref.rodata", 0, r(0)),
            ("assign.ref", move(0), r(1)),
            ("cmp.nz.ref", r(0), 1),
            ("cmp.nz.ref", r(1), 2),
            ("cmp.ne.ref", r(0), r(1), 3),
            ("add.i32", 2, 3, 2),
            ("discard.refs", [r(1)]),
            ("cmp.nz.ref", r(1), 3),
            ("return", [1, 2, 3]),
        ],
    ),
    Function(
        "loop_with_table",
        "0ii_i",
        [
            ("block",),
            ("const.i32", 15, 3),
            ("and.i32", 0, 3, 0),
            ("const.i32", 1, 4),
            ("const.i32", 3, 5),
            ("br", "head", []),
            ("block", "head"),
            ("cond_br", 0, "body", [], "done", []),
            ("block", "body"),
            ("sub.i32", 0, 4, 0),
            ("and.i32", 0, 5, 6),
            ("br_table", 6, "head", [], [("a", []), ("b", [(1, 7)]), ("a", [])]),
            ("block", "a"),
            ("add.i32", 1, 0, 1),
            ("br", "head", []),
            ("block", "b"),
            ("mul.i32", 7, 5, 1),
            ("br", "head", []),
            ("block", "done"),
            ("return", [1]),
        ],
    ),
]

_YIELDS = [
    Function(
        "yields",
        "0i_i",
        [
            ("block",),
            ("const.i32", 1, 1),
            ("yield", "next", [(0, 2)]),
            ("block", "next"),
            ("add.i32", 2, 1, 3),
            ("yield", "last", [(3, 4)]),
            ("block", "last"),
            ("return", [4]),
        ],
    ),
    Function("calls_yielding", "0i_i", [("block",), ("call", "yields", [0], [0]), ("return", [0])]),
]


def _module(functions: list[Function]) -> Module:
    """Functions named in calls become ordinals."""
    ordinals = {f.name: i for i, f in enumerate(functions)}
    for f in functions:
        f.rows = [
            (row[0], ordinals[f.name if row[1] == "self" else row[1]], *row[2:])
            if row[0].startswith("call") and isinstance(row[1], str)
            else row
            for row in f.rows
        ]
    return Module(functions, types=_TYPES, rodata=[b"0123456789abcdef"], global_bytes=32, global_refs=2)


MODULE = _module(_casts() + _indirect_globals() + _PUNNED + _CONTROL)
YIELDING = _module(_YIELDS)
VARIADIC = Module(
    [
        Function(
            "variadic",
            "0iI_I",
            [
                ("block",),
                ("call.variadic", IMPORT | 0, [0xFFFF, 2, 0xFFFF, 2], [0, 0, 2, 2, 0, 2, 2, 2], [4]),
                ("call.variadic.yieldable", IMPORT | 1, [1], [4], "next", [6]),
                ("block", "next"),
                ("return", [6]),
            ],
            i32_count=12,
        ),
        Function("call_import", "0i_i", [("block",), ("call", IMPORT | 2, [0], [1]), ("return", [1])]),
    ],
    imports=[("test.spans", "0iCiDICiID_I", False), ("test.later", "0CID_I", False), ("test.plain", "0i_i", True)],
)
