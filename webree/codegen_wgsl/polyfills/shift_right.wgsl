// Shifting by 32 or more leaves 0; WGSL would take the amount modulo 32.
fn NAME(a: UINT, amount: UINT) -> UINT {
    return select(a >> amount, UINT(0u), amount > UINT(31u));
}
