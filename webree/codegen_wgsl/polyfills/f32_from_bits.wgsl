// A value that no WGSL literal can say (NaN, infinity, -0, a denormal), from its bits at run time.
fn NAME(bits: u32) -> f32 {
    return bitcast<f32>(bits);
}
