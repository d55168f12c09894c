// A value that no WGSL literal can say (NaN, infinity, -0, a denormal), from its bits at run time.
fn f32_from_bits(bits: u32) -> f32 {
    return bitcast<f32>(bits);
}

// A constant table read at a computed index, and an array that is written.

@group(0) @binding(0) var<storage, read_write> binding0: array<f32>;

@compute @workgroup_size(1, 1, 1)
fn kernel(
    @builtin(global_invocation_id) global_invocation_id: vec3<u32>,
) {
    var table0: array<f32, 4> = array<f32, 4>(1.5, -2.0, f32_from_bits(0x7f800000u), 4.0);
    var array0: array<f32, 4>;
    let global_invocation_id_x = i32(global_invocation_id.x);
    let x0 = table0[global_invocation_id_x];
    array0[global_invocation_id_x] = x0;
    let x1 = array0[global_invocation_id_x];
    let x2 = array0[3];
    var changed0: array<f32, 4> = array<f32, 4>(1.5, -2.0, f32_from_bits(0x7f800000u), 4.0);
    changed0[2] = x1;
    binding0[global_invocation_id_x] = changed0[2] + x2;
}
