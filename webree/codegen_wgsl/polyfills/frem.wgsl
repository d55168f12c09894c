// Floating-point remainder. WGSL's a - b * trunc(a / b) is NaN for an infinite b, where the remainder is a itself.
fn NAME(a: FLOAT, b: FLOAT) -> FLOAT {
    return select(a % b, a, NAME_of(is_inf)(b) & (abs(a) <= FLOAT(3.4028234663852886e+38)));
}
