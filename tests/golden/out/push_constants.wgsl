// Push constants, at fixed and at computed positions.

@group(0) @binding(0) var<storage, read_write> binding0: array<i32>;
@group(1) @binding(0) var<uniform> constants: array<vec4<u32>, 2>;

@compute @workgroup_size(1, 1, 1)
fn kernel(
    @builtin(global_invocation_id) global_invocation_id: vec3<u32>,
) {
    let global_invocation_id_x = i32(global_invocation_id.x);
    let k0 = i32(constants[global_invocation_id_x / 4][global_invocation_id_x % 4]);
    binding0[global_invocation_id_x] = i32(constants[1].y) + k0;
}
