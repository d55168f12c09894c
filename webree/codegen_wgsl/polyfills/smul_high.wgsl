// The upper 32 bits of a signed 64-bit product: the unsigned one, less what negative factors added.
fn NAME(a: INT, b: INT) -> INT {
    let high = INT(NAME_of(umul_high)(UINT(a), UINT(b)));
    return high - select(INT(0), b, a < INT(0)) - select(INT(0), a, b < INT(0));
}
