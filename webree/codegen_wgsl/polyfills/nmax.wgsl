// Maximum that prefers a number to NaN.
fn NAME(a: FLOAT, b: FLOAT) -> FLOAT {
    return select(select(max(a, b), a, NAME_of(is_nan)(b)), b, NAME_of(is_nan)(a));
}
