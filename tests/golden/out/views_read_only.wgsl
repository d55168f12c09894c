// read-only: 0. Scalar and vec4 views of one binding, and integers beside floats in one writable binding.

@group(0) @binding(0) var<storage, read> binding0: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> binding1: array<i32>;

@compute @workgroup_size(1, 1, 1)
fn kernel(
    @builtin(global_invocation_id) global_invocation_id: vec3<u32>,
) {
    let global_invocation_id_x = i32(global_invocation_id.x);
    let x0 = binding0[global_invocation_id_x];
    let x1 = binding0[0].z;
    let x2 = binding0[global_invocation_id_x >> 2u][global_invocation_id_x & 3];
    let v0 = global_invocation_id_x * 3;
    binding1[v0] = bitcast<i32>(x0.y + x1 + x2);
    binding1[v0 + 1] = global_invocation_id_x;
    let c0: f32 = 0.5;
    binding1[v0 + 2] = bitcast<i32>(c0);
}
