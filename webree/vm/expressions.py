"""What each simple instruction is in Python: tables from mnemonic to a template over the operands' names.

Enters: nothing. Leaves: `CONDITIONS` (expressions that are true or false; as a value they give 1 or 0), `EXPRESSIONS`
(expressions that give the one result) and `STATEMENTS` (no result). `FITTING` are the shorter expressions for results
that cannot leave their type, `NATURAL` the conditions for operands that cannot be negative (ranges.py). Operands are
names or literals without side effects, so a template may use one twice; `_` is a scratch local. Instructions that move
references, call or branch are not here: see translate.py.
"""

from __future__ import annotations

__all__ = ["CONDITIONS", "EXPRESSIONS", "FITTING", "NATURAL", "STATEMENTS"]

_MASK = {"i32": 0xFFFFFFFF, "i64": 0xFFFFFFFFFFFFFFFF}
_LIMIT = {"i32": 0x80000000, "i64": 0x8000000000000000}

CONDITIONS: dict[str, str] = {
    "cmp.nz.i32": "{x}",
    "cmp.nz.i64": "{x}",
    "cmp.eq.ref": "{a} is {b}",
    "cmp.ne.ref": "{a} is not {b}",
    "cmp.nz.ref": "{x} is not None",
}

EXPRESSIONS: dict[str, str] = {
    "const.i32.zero": "0",
    "const.i64.zero": "0",
    "const.f32.zero": "0.0",
    "const.f64.zero": "0.0",
    "trunc.i32.i8": "{x} & 255",
    "trunc.i32.i16": "{x} & 65535",
    "trunc.i64.i32": "({x} + 2147483648 & 4294967295) - 2147483648",
    "ext.i8.i32.s": "({x} + 128 & 255) - 128",
    "ext.i8.i32.u": "{x} & 255",
    "ext.i16.i32.s": "({x} + 32768 & 65535) - 32768",
    "ext.i16.i32.u": "{x} & 65535",
    "ext.i32.i64.s": "{x}",
    "ext.i32.i64.u": "{x} & 4294967295",
    "trunc.f64.f32": "round_f32({x})",
    "ext.f32.f64": "{x}",
    "bitcast.i32.f32": "f32_of_i32({x})",
    "bitcast.f32.i32": "i32_of_f32({x})",
    "bitcast.i64.f64": "f64_of_i64({x})",
    "bitcast.f64.i64": "i64_of_f64({x})",
    "list.size": "list_size({list})",
    "buffer.alloc": "buffer_alloc({length}, {alignment})",
    "buffer.clone": "buffer_clone({source}, {offset}, {length}, {alignment})",
    "buffer.length": "buffer_length({buffer})",
    "buffer.compare": "buffer_compare({a}, {a_offset}, {b}, {b_offset}, {length})",
    "buffer.hash": "buffer_hash({source}, {source_offset}, {length})",
}

FITTING: dict[str, str] = {
    "trunc.i64.i32": "{x}",
    "ext.i32.i64.u": "{x}",
}
NATURAL: dict[str, str] = {}

STATEMENTS: dict[str, str] = {
    "list.reserve": "list_reserve({list}, {capacity})",
    "list.resize": "list_resize({list}, {new_size})",
    "buffer.copy": "buffer_copy({source}, {source_offset}, {target}, {target_offset}, {length})",
}


def _integer_rows(width: str) -> None:
    mask, limit = _MASK[width], _LIMIT[width]
    bits = width[1:]

    def wrapped(expression: str) -> str:
        """Most results are in range: test that first, masks make long ints."""
        return f"_ if {-limit} <= (_ := {expression}) < {limit} else wrap{bits}(_)"

    a, b = f"({{a}} & {mask})", f"({{b}} & {mask})"
    amount = f"({{amount}} & {int(bits) - 1})"
    sums = {"add": "{a} + {b}", "sub": "{a} - {b}", "mul": "{a} * {b}", "fma": "{a} * {b} + {c}"}
    FITTING.update({f"{name}.{width}": text for name, text in sums.items()})
    FITTING.update({f"shl.{width}": "{x} << {amount}", f"shr.{width}.u": "{x} >> {amount}"})
    NATURAL[f"cmp.lt.{width}.u"] = "{a} < {b}"
    EXPRESSIONS.update({f"{name}.{width}": wrapped(text) for name, text in sums.items()})
    EXPRESSIONS.update(
        {
            f"abs.{width}": wrapped("abs({x})"),
            f"not.{width}": "~{x}",
            f"and.{width}": "{a} & {b}",
            f"or.{width}": "{a} | {b}",
            f"xor.{width}": "{a} ^ {b}",
            f"shl.{width}": wrapped(f"{{x}} << {amount}"),
            f"shr.{width}.s": f"{{x}} >> {amount}",
            f"shr.{width}.u": wrapped(f"({{x}} & {mask}) >> {amount}"),
            f"ctlz.{width}": f"{bits} - ({{x}} & {mask}).bit_length()",
            f"min.{width}.s": "{a} if {a} < {b} else {b}",
            f"max.{width}.s": "{a} if {a} > {b} else {b}",
            f"min.{width}.u": f"{{a}} if {a} < {b} else {{b}}",
            f"max.{width}.u": f"{{a}} if {a} > {b} else {{b}}",
        }
    )
    for operation in ("div", "rem"):
        for sign in "su":
            EXPRESSIONS[f"{operation}.{width}.{sign}"] = f"{operation}_{width}_{sign}({{a}}, {{b}})"
    CONDITIONS.update(
        {
            f"cmp.eq.{width}": "{a} == {b}",
            f"cmp.ne.{width}": "{a} != {b}",
            f"cmp.lt.{width}.s": "{a} < {b}",
            f"cmp.lt.{width}.u": f"{a} < {b}",
        }
    )


def _float_rows(width: str) -> None:
    def rounded(expression: str) -> str:
        return f"round_f32({expression})" if width == "f32" else expression

    EXPRESSIONS.update(
        {
            f"add.{width}": rounded("{a} + {b}"),
            f"sub.{width}": rounded("{a} - {b}"),
            f"mul.{width}": rounded("{a} * {b}"),
            f"div.{width}": rounded("div_f({a}, {b})"),
            f"rem.{width}": rounded("rem_f({a}, {b})"),
            f"fma.{width}": rounded(f"{rounded('{a} * {b}')} + {{c}}"),  # not fused, as in IREE's builds for x86-64
            f"abs.{width}": "abs({x})",
            f"neg.{width}": "-{x}",
            f"min.{width}": "{b} if {b} < {a} else {a}",
            f"max.{width}": "{b} if {a} < {b} else {a}",
            f"ceil.{width}": "ceil_f({x})",
            f"floor.{width}": "floor_f({x})",
            f"round.{width}": "round_away({x})",
            f"round.{width}.even": "round_even({x})",
            f"atan.{width}": rounded("atan({x})"),
            f"atan2.{width}": rounded("atan2({a}, {b})"),
            f"tanh.{width}": rounded("tanh({x})"),
            f"erf.{width}": rounded("erf({x})"),
            f"pow.{width}": rounded("pow_f({a}, {b})"),
        }
    )
    for function in ("cos", "sin", "exp", "exp2", "expm1", "log", "log10", "log1p", "log2", "rsqrt", "sqrt"):
        EXPRESSIONS[f"{function}.{width}"] = rounded(f"{function}_f({{x}})")
    for integer in ("i32", "i64"):
        mask = _MASK[integer]
        convert = f"f32_from_int({{}} & {mask})" if width == "f32" else f"float({{}} & {mask})"
        EXPRESSIONS[f"cast.u{integer}.{width}"] = convert.replace("{}", "{x}")
        EXPRESSIONS[f"cast.s{integer}.{width}"] = convert.replace(f" & {mask}", "").replace("{}", "{x}")
        for sign in "su":
            EXPRESSIONS[f"cast.{width}.{sign}{integer}"] = f"{integer}_from_float({{x}})"
    nan = "{a} != {a} or {b} != {b}"
    for name, operator in (("eq", "=="), ("ne", "!="), ("lt", "<"), ("lte", "<=")):
        CONDITIONS[f"cmp.{name}.{width}.o"] = f"{{a}} {operator} {{b}}"
        CONDITIONS[f"cmp.{name}.{width}.u"] = f"{{a}} {operator} {{b}} or {nan}"
    CONDITIONS[f"cmp.nan.{width}"] = "{x} != {x}"


def _typed_rows(width: str) -> None:
    """Rows that all four number types have. Global views are indexed by element."""
    EXPRESSIONS.update(
        {
            f"global.load.{width}": f"global_{width}[{{offset}}]",
            f"global.load.indirect.{width}": f"load_global_{width}({{offset}})",
            f"list.get.{width}": f"list_get_{width}({{list}}, {{index}})",
            f"select.{width}": "{true_value} if {cond} else {false_value}",
            f"buffer.load.{width}": f"load_{width}({{source}}, {{source_offset}})",
        }
    )
    STATEMENTS.update(
        {
            f"global.store.{width}": f"global_{width}[{{offset}}] = {{value}}",
            f"global.store.indirect.{width}": f"store_global_{width}({{offset}}, {{value}})",
            f"list.set.{width}": f"list_set_{width}({{list}}, {{index}}, {{value}})",
            f"buffer.store.{width}": f"store_{width}({{target}}, {{target_offset}}, {{value}})",
            f"buffer.fill.{width}": f"fill_{width}({{target}}, {{target_offset}}, {{length}}, {{value}})",
        }
    )


for _width in ("i32", "i64"):
    _integer_rows(_width)
for _width in ("f32", "f64"):
    _float_rows(_width)
for _width in ("i32", "i64", "f32", "f64"):
    _typed_rows(_width)
for _width in ("i8", "i16"):
    for _sign in "us":
        EXPRESSIONS[f"buffer.load.{_width}.{_sign}"] = f"load_{_width}_{_sign}({{source}}, {{source_offset}})"
    STATEMENTS[f"buffer.store.{_width}"] = f"store_{_width}({{target}}, {{target_offset}}, {{value}})"
    STATEMENTS[f"buffer.fill.{_width}"] = f"fill_{_width}({{target}}, {{target_offset}}, {{length}}, {{value}})"
