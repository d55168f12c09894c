// A value that no WGSL literal can say (NaN, infinity, -0, a denormal), from its bits at run time.
fn f32_from_bits(bits: u32) -> f32 {
    return bitcast<f32>(bits);
}

// Shifting by 32 or more leaves 0; WGSL would take the amount modulo 32.
fn shift_left(a: i32, amount: u32) -> i32 {
    return select(a << amount, i32(0), amount > u32(31u));
}

// True for both infinities, by their bits.
fn is_inf(x: f32) -> bool {
    return (bitcast<u32>(x) & u32(0x7fffffffu)) == u32(0x7f800000u);
}

// WGSL may assume that no NaN occurs, so x != x may fold to false: look at the bits.
fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & u32(0x7fffffffu)) > u32(0x7f800000u);
}

// Constants alone: nothing may be left to the compiler that WGSL would call an error.

@group(0) @binding(0) var<storage, read_write> binding0: array<i32>;

@compute @workgroup_size(1, 1, 1)
fn kernel(
    @builtin(global_invocation_id) global_invocation_id: vec3<u32>,
) {
    let global_invocation_id_x = i32(global_invocation_id.x);
    let c0: i32 = 2147483647;
    let c1: i32 = i32(-2147483648);
    let c2 = 0u;
    let c3: i32 = i32(-2147483648);
    let c4 = 40u;
    let c5: f32 = 3.4028234663852886e+38;
    let v0 = is_nan(f32_from_bits(0x7f800000u) - f32_from_bits(0x7f800000u));
    let v1 = is_inf(c5 * 3.4028234663852886e+38) & is_nan(f32_from_bits(0x7fc00000u));
    let v2 = i32(global_invocation_id.x % c2) | (((c0 + 1) ^ -c3) + select(0, 1, v1 & v0));
    let v3 = v2 + (shift_left(global_invocation_id_x, c4) & 0) - c1 / 1;
    binding0[global_invocation_id_x] = v3;
}
