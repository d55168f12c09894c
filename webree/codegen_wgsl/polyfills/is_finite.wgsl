// Neither NaN nor an infinity, by the bits.
fn NAME(x: FLOAT) -> BOOL {
    return (bitcast<UINT>(x) & UINT(0x7f800000u)) != UINT(0x7f800000u);
}
