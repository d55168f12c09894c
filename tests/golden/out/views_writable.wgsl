// A vec4 and a scalar view of one writable binding: vectors go component by component.

@group(0) @binding(0) var<storage, read_write> binding0: array<f32>;

@compute @workgroup_size(1, 1, 1)
fn kernel(
    @builtin(global_invocation_id) global_invocation_id: vec3<u32>,
) {
    let global_invocation_id_x = i32(global_invocation_id.x);
    let at0 = global_invocation_id_x * 4;
    let x0 = vec4<f32>(binding0[at0], binding0[at0 + 1], binding0[at0 + 2], binding0[at0 + 3]);
    let at1 = global_invocation_id_x * 4;
    let v0 = x0 * vec4<f32>(2.0);
    binding0[at1] = v0.x;
    binding0[at1 + 1] = v0.y;
    binding0[at1 + 2] = v0.z;
    binding0[at1 + 3] = v0.w;
    let v1 = global_invocation_id_x * 4 + 3;
    let x1 = binding0[v1];
    binding0[v1] = x1 + 1.0;
}
