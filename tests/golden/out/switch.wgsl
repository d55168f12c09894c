// A switch whose cases share arms and pass values on.

@group(0) @binding(0) var<storage, read_write> binding0: array<i32>;
@group(0) @binding(1) var<storage, read_write> binding1: array<i32>;

@compute @workgroup_size(1, 1, 1)
fn kernel(
    @builtin(global_invocation_id) global_invocation_id: vec3<u32>,
) {
    let global_invocation_id_x = i32(global_invocation_id.x);
    let x0 = binding0[global_invocation_id_x];
    var r0: i32;
    switch (x0) {
        default: {
            r0 = 0;
        }
        case 1, -2: {
            r0 = x0 + 100;
        }
        case 3: {
            r0 = 7;
        }
    }
    binding1[global_invocation_id_x] = r0;
}
