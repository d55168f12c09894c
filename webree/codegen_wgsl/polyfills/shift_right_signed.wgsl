// Shifting by 32 or more leaves the sign; WGSL would take the amount modulo 32.
fn NAME(a: INT, amount: UINT) -> INT {
    return a >> min(amount, UINT(31u));
}
