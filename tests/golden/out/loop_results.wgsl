// Loops inside loops whose results come through variables, as the scf lowering leaves them.

@group(0) @binding(0) var<storage, read_write> binding0: array<f32>;
@group(0) @binding(1) var<storage, read_write> binding1: array<f32>;

@compute @workgroup_size(1, 1, 1)
fn kernel(
    @builtin(global_invocation_id) global_invocation_id: vec3<u32>,
) {
    let global_invocation_id_x = i32(global_invocation_id.x);
    let v0 = global_invocation_id_x * 4;
    var acc0: f32 = 0.0;
    for (var i0: i32 = 0; i0 < 4; i0 += 1) {
        var acc1: f32 = 1.0;
        for (var i1: i32 = 0; i1 < i0; i1 += 1) {
            let x0 = binding0[v0 + i1];
            acc1 = acc1 * x0;
        }
        acc0 = acc0 + acc1;
    }
    binding1[global_invocation_id_x] = acc0;
}
