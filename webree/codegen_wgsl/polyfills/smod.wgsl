// Remainder with the sign of the divisor.
fn NAME(a: INT, b: INT) -> INT {
    let rest = a % b;
    return select(rest, rest + b, (rest != INT(0)) & ((rest ^ b) < INT(0)));
}
