enable f16;

// f16 and i16 beside each other, in one binding as well: i16 lies two to a word, and so does f16 there.

@group(0) @binding(0) var<storage, read_write> binding0: array<f16>;
@group(0) @binding(1) var<storage, read_write> binding1: array<i32>;
@group(0) @binding(2) var<storage, read_write> binding2: array<atomic<i32>>;
@group(0) @binding(3) var<storage, read_write> binding3: array<vec2<i32>>;

@compute @workgroup_size(19, 1, 1)
fn kernel(
    @builtin(local_invocation_id) local_invocation_id: vec3<u32>,
) {
    let local_invocation_id_x = i32(local_invocation_id.x);
    let x0 = binding0[local_invocation_id_x];
    let x1 = extractBits(binding1[local_invocation_id_x >> 1u], u32(local_invocation_id_x & 1) << 4u, 16u);
    let v0 = x1 + x1;
    let v1 = (u32(v0 & 65535) < 128u) & (extractBits(v0, 0u, 16u) < extractBits(x1, 0u, 16u));
    let v2 = ((vec2<i32>(i32(pack2x16float(vec2<f32>(f32(x0), 0.0)))) << vec2<u32>(16u, 0u)) >> vec2<u32>(16u)).x;
    let shift0 = u32(local_invocation_id_x & 1) << 4u;
    let bits0 = u32(select(v0, v2, v1)) & 65535u;
    atomicAnd(&binding2[local_invocation_id_x >> 1u], ~(65535 << shift0));
    atomicOr(&binding2[local_invocation_id_x >> 1u], i32(bits0 << shift0));
    let at0 = local_invocation_id_x + 128;
    let shift1 = u32(at0 & 1) << 4u;
    let bits1 = pack2x16float(vec2<f32>(f32(f16(extractBits(v0, 0u, 16u)) + x0), 0.0));
    atomicAnd(&binding2[at0 >> 1u], ~(65535 << shift1));
    atomicOr(&binding2[at0 >> 1u], i32(bits1 << shift1));
    let x2 = vec4<i32>(((vec2<i32>(binding3[local_invocation_id_x].x) << vec2<u32>(16u, 0u)) >> vec2<u32>(16u)), ((vec2<i32>(binding3[local_invocation_id_x].y) << vec2<u32>(16u, 0u)) >> vec2<u32>(16u)));
    let v3 = vec4<f16>(vec2<f16>(unpack2x16float(((u32(x2.xy.x) & 65535u) | (u32(x2.xy.y) << 16u)))), vec2<f16>(unpack2x16float(((u32(x2.zw.x) & 65535u) | (u32(x2.zw.y) << 16u)))));
    let v4 = v3 + v3;
    let v5 = bitcast<vec2<i32>>(vec2<u32>(pack2x16float(vec2<f32>(v4.xy)), pack2x16float(vec2<f32>(v4.zw))));
    let words0 = bitcast<vec2<u32>>(v5);
    let v6 = vec4<i32>(((vec2<i32>(i32(words0.x)) << vec2<u32>(16u, 0u)) >> vec2<u32>(16u)), ((vec2<i32>(i32(words0.y)) << vec2<u32>(16u, 0u)) >> vec2<u32>(16u)));
    let v7 = extractBits(v6, 0u, 16u) + (v6 & vec4<i32>(65535));
    binding3[local_invocation_id_x].x = i32(((u32(v7.xy.x) & 65535u) | (u32(v7.xy.y) << 16u)));
    binding3[local_invocation_id_x].y = i32(((u32(v7.zw.x) & 65535u) | (u32(v7.zw.y) << 16u)));
}
