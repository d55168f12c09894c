// Shifting by 32 or more leaves 0; WGSL would take the amount modulo 32.
fn NAME(a: INT, amount: UINT) -> INT {
    return select(a << amount, INT(0), amount > UINT(31u));
}
