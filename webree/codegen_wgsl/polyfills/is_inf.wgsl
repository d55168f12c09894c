// True for both infinities, by their bits.
fn NAME(x: FLOAT) -> BOOL {
    return (bitcast<UINT>(x) & UINT(0x7fffffffu)) == UINT(0x7f800000u);
}
