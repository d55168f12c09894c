// Selections: one that yields a value, one nested in an arm, one that stores, a return from within.

@group(0) @binding(0) var<storage, read_write> binding0: array<i32>;
@group(0) @binding(1) var<storage, read_write> binding1: array<i32>;

@compute @workgroup_size(1, 1, 1)
fn kernel(
    @builtin(global_invocation_id) global_invocation_id: vec3<u32>,
) {
    let global_invocation_id_x = i32(global_invocation_id.x);
    let x0 = binding0[global_invocation_id_x];
    if (x0 < 0) {
        binding1[global_invocation_id_x] = 1;
        return;
    }
    var m0: i32;
    var r0: i32;
    if (x0 > 10) {
        let v0 = x0 + 100;
        if (x0 > 100) {
            m0 = 1;
        } else {
            m0 = v0;
        }
        let x1 = m0;
        r0 = x1;
    } else {
        r0 = x0 * 10;
    }
    binding1[global_invocation_id_x] = r0;
}
