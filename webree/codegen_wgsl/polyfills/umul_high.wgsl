// The upper 32 bits of a 64-bit product, from four 16-bit products.
fn NAME(a: UINT, b: UINT) -> UINT {
    let a_low = a & UINT(0xffffu);
    let a_high = a >> UINT(16u);
    let b_low = b & UINT(0xffffu);
    let b_high = b >> UINT(16u);
    let cross_1 = a_high * b_low + ((a_low * b_low) >> UINT(16u));
    let cross_2 = a_low * b_high + (cross_1 & UINT(0xffffu));
    return a_high * b_high + (cross_1 >> UINT(16u)) + (cross_2 >> UINT(16u));
}
