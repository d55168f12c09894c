// Rounds halfway cases away from zero; WGSL's round() takes them to even.
fn NAME(x: FLOAT) -> FLOAT {
    let whole = trunc(x);
    return select(whole, whole + sign(x), abs(x - whole) >= FLOAT(0.5));
}
