// Minimum that prefers a number to NaN.
fn NAME(a: FLOAT, b: FLOAT) -> FLOAT {
    return select(select(min(a, b), a, NAME_of(is_nan)(b)), b, NAME_of(is_nan)(a));
}
