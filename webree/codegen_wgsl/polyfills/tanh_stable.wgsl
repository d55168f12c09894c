// Some implementations compute tanh from exp(2x), which overflows; beyond 10 the f32 result is 1. NaN stays NaN.
fn NAME(x: FLOAT) -> FLOAT {
    return select(tanh(clamp(x, FLOAT(-10.0), FLOAT(10.0))), x, NAME_of(is_nan)(x));
}
