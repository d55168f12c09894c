// Floating-point remainder with the sign of the divisor.
fn NAME(a: FLOAT, b: FLOAT) -> FLOAT {
    let rest = a % b;
    return select(rest, rest + b, (rest != FLOAT(0.0)) & ((rest < FLOAT(0.0)) != (b < FLOAT(0.0))));
}
