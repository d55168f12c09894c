// A value that no WGSL literal can say (NaN, infinity, -0, a denormal), from its bits at run time.
fn f32_from_bits(bits: u32) -> f32 {
    return bitcast<f32>(bits);
}

// Vectors: shuffles, inserts, dynamic components, selects by lane, dot products, 64-bit halves.

@group(0) @binding(0) var<storage, read_write> binding0: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> binding1: array<vec4<f32>>;

@compute @workgroup_size(1, 1, 1)
fn kernel(
    @builtin(global_invocation_id) global_invocation_id: vec3<u32>,
) {
    let global_invocation_id_x = i32(global_invocation_id.x);
    let x0 = binding0[global_invocation_id_x];
    let v0 = vec4<f32>(1.0, 2.0, f32_from_bits(0x80000000u), 4.0);
    let v1 = vec4<f32>(x0.w, v0.y, x0.y, v0.w);
    let v2 = select(x0, v1, (v1 > vec4<f32>(0.0)));
    let v3 = global_invocation_id_x & 3;
    let v4 = v2[v3];
    var changed0: vec4<f32> = vec4<f32>(v2.x, v2.y, v4 + dot(v2, x0), v2.w);
    changed0[v3] = v2.y;
    binding1[global_invocation_id_x] = changed0 * v2.y + vec4<f32>(v4);
}
