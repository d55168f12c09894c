enable f16;

// A value that no WGSL literal can say (NaN, infinity, -0, a denormal), from its bits at run time.
fn f32_from_bits(bits: u32) -> f32 {
    return bitcast<f32>(bits);
}

// WGSL may assume that no NaN occurs, so x != x may fold to false: look at the bits.
fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & u32(0x7fffffffu)) > u32(0x7f800000u);
}

// Some implementations compute tanh from exp(2x), which overflows; beyond 10 the f32 result is 1. NaN stays NaN.
fn tanh_stable(x: f32) -> f32 {
    return select(tanh(clamp(x, f32(-10.0), f32(10.0))), x, is_nan(x));
}

// f16 values in f16 buffers: needs the feature shader-f16.

@group(0) @binding(0) var<storage, read_write> binding0: array<f16>;
@group(0) @binding(1) var<storage, read_write> binding1: array<f16>;

@compute @workgroup_size(1, 1, 1)
fn kernel(
    @builtin(global_invocation_id) global_invocation_id: vec3<u32>,
) {
    let global_invocation_id_x = i32(global_invocation_id.x);
    let x0 = binding0[global_invocation_id_x];
    let v0 = f16(exp(f32(x0 * 0.5h)));
    let v1 = select(f16(tanh_stable(f32(v0))), 0.5h, v0 == f16(f32_from_bits(0x7f800000u)));
    binding1[global_invocation_id_x] = v1;
}
