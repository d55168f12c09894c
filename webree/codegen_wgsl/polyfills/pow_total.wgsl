// exp2(y * log2(x)) is NaN for 0 ** 0 and inf ** 0, which are 1.
fn NAME(x: FLOAT, y: FLOAT) -> FLOAT {
    return select(pow(x, y), FLOAT(1.0), y == FLOAT(0.0));
}
