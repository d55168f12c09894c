// Workgroup memory with barriers: a reversal and a tree sum.

@group(0) @binding(0) var<storage, read_write> binding0: array<f32>;
@group(0) @binding(1) var<storage, read_write> binding1: array<f32>;
var<workgroup> shared0: array<f32, 8>;

@compute @workgroup_size(8, 1, 1)
fn kernel(
    @builtin(local_invocation_id) local_invocation_id: vec3<u32>,
    @builtin(workgroup_id) workgroup_id: vec3<u32>,
) {
    let local_invocation_id_x = i32(local_invocation_id.x);
    let v0 = i32(workgroup_id.x) * 8;
    let v1 = v0 + local_invocation_id_x;
    let x0 = binding0[v1];
    shared0[local_invocation_id_x] = x0;
    workgroupBarrier();
    let x1 = shared0[7 - local_invocation_id_x];
    binding1[v1] = x1;
    workgroupBarrier();
    var n0: i32 = 4;
    while (n0 > 0) {
        if (local_invocation_id_x < n0) {
            let x2 = shared0[local_invocation_id_x];
            let x3 = shared0[local_invocation_id_x + n0];
            shared0[local_invocation_id_x] = x2 + x3;
        }
        workgroupBarrier();
        n0 = n0 / 2;
    }
    if (local_invocation_id_x == 0) {
        let x4 = shared0[local_invocation_id_x];
        binding1[v0] = x4;
    }
}
