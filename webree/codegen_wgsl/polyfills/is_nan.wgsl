// WGSL may assume that no NaN occurs, so x != x may fold to false: look at the bits.
fn NAME(x: FLOAT) -> BOOL {
    return (bitcast<UINT>(x) & UINT(0x7fffffffu)) > UINT(0x7f800000u);
}
