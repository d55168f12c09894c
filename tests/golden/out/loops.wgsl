// A loop that swaps its two carried values, a while loop, and a loop with a break in the middle.

@group(0) @binding(0) var<storage, read_write> binding0: array<i32>;
@group(0) @binding(1) var<storage, read_write> binding1: array<i32>;

@compute @workgroup_size(1, 1, 1)
fn kernel(
    @builtin(global_invocation_id) global_invocation_id: vec3<u32>,
) {
    let global_invocation_id_x = i32(global_invocation_id.x);
    let x0 = binding0[global_invocation_id_x];
    var n0: i32 = 0;
    var n1: i32 = 1;
    for (var i0: i32 = 0; i0 < x0; i0 += 1) {
        let next0 = n1;
        n1 = n0;
        n0 = next0;
    }
    var n2: i32 = x0;
    var n3: i32 = 0;
    while (n2 > 1) {
        n2 = select(n2 / 2, n2 * 3 + 1, (n2 & 1) != 0);
        n3 = n3 + 1;
    }
    let v0 = global_invocation_id_x * 3;
    binding1[v0] = n0;
    binding1[v0 + 1] = n1;
    binding1[v0 + 2] = n3;
}
