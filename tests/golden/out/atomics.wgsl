// Atomic operations, and plain accesses of the same binding.

@group(0) @binding(0) var<storage, read_write> binding0: array<i32>;
@group(0) @binding(1) var<storage, read_write> binding1: array<atomic<i32>>;

@compute @workgroup_size(1, 1, 1)
fn kernel(
    @builtin(global_invocation_id) global_invocation_id: vec3<u32>,
) {
    let global_invocation_id_x = i32(global_invocation_id.x);
    let x0 = binding0[global_invocation_id_x];
    atomicAdd(&binding1[0], x0);
    atomicOr(&binding1[1], x0);
    atomicAnd(&binding1[2], x0);
    atomicMax(&binding1[3], x0);
    var old0 = atomicLoad(&binding1[4]);
    loop {
        let desired0 = i32(max(u32(old0), u32(x0)));
        let tried0 = atomicCompareExchangeWeak(&binding1[4], old0, desired0);
        if (tried0.exchanged) {
            break;
        }
        old0 = tried0.old_value;
    }
    var old1 = atomicLoad(&binding1[5]);
    loop {
        let desired1 = i32(min(u32(old1), u32(x0)));
        let tried1 = atomicCompareExchangeWeak(&binding1[5], old1, desired1);
        if (tried1.exchanged) {
            break;
        }
        old1 = tried1.old_value;
    }
    var old2: i32;
    loop {
        let tried2 = atomicCompareExchangeWeak(&binding1[6], 0, 7);
        old2 = tried2.old_value;
        if (tried2.exchanged || old2 != 0) {
            break;
        }
    }
    atomicStore(&binding1[global_invocation_id_x + 7], select(0, 1, old2 == 0));
}
