enable subgroups;

// Subgroup operations: need the feature subgroups.

@group(0) @binding(0) var<storage, read_write> binding0: array<f32>;
@group(0) @binding(1) var<storage, read_write> binding1: array<f32>;

@compute @workgroup_size(16, 1, 1)
fn kernel(
    @builtin(local_invocation_id) local_invocation_id: vec3<u32>,
) {
    let local_invocation_id_x = i32(local_invocation_id.x);
    let x0 = binding0[local_invocation_id_x];
    let s0 = subgroupAdd(x0);
    let s1 = subgroupShuffleXor(x0, 1u);
    binding1[local_invocation_id_x] = s0 - s1;
}
