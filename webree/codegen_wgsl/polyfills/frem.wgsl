// Floating-point remainder. WGSL's a - b * trunc(a / b) is NaN for an infinite b, where the remainder is a itself, and
// loses the sign of a zero, which is that of a.
fn NAME(a: FLOAT, b: FLOAT) -> FLOAT {
    let rest = select(a % b, a, NAME_of(is_inf)(b) & (abs(a) <= FLOAT(3.4028234663852886e+38)));
    let sign = bitcast<UINT>(a) & UINT(0x80000000u);
    return bitcast<FLOAT>((bitcast<UINT>(rest) & UINT(0x7fffffffu)) | sign);
}
