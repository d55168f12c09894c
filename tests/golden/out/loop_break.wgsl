// A loop left from its middle, with a value computed there.

@group(0) @binding(0) var<storage, read_write> binding0: array<i32>;
@group(0) @binding(1) var<storage, read_write> binding1: array<i32>;

@compute @workgroup_size(1, 1, 1)
fn kernel(
    @builtin(global_invocation_id) global_invocation_id: vec3<u32>,
) {
    let global_invocation_id_x = i32(global_invocation_id.x);
    let v0 = global_invocation_id_x * 8;
    var r0: i32;
    var i0: i32 = 0;
    loop {
        if (i0 >= 8) {
            r0 = -1;
            break;
        }
        let x0 = binding0[v0 + i0];
        if (x0 == 0) {
            r0 = i0;
            break;
        }
        i0 = i0 + 1;
    }
    binding1[global_invocation_id_x] = r0;
}
