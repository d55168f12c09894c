// A function beside the entry point.

@group(0) @binding(0) var<storage, read_write> binding0: array<f32>;
@group(0) @binding(1) var<storage, read_write> binding1: array<f32>;

fn clamped_square(p0: f32) -> f32 {
    if (p0 < 0.0) {
        return 0.0;
    }
    return p0 * p0;
}

@compute @workgroup_size(1, 1, 1)
fn kernel(
    @builtin(global_invocation_id) global_invocation_id: vec3<u32>,
) {
    let global_invocation_id_x = i32(global_invocation_id.x);
    let x0 = binding0[global_invocation_id_x];
    let v0 = clamped_square(x0);
    binding1[global_invocation_id_x] = v0;
}
