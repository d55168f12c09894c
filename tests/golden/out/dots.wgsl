// sums of products of bytes, found again as packed dot products: signed, unsigned, and one that stays

@group(0) @binding(0) var<storage, read_write> binding0: array<vec4<i32>>;

@compute @workgroup_size(1, 1, 1)
fn kernel() {
    let x0 = binding0[0];
    let x1 = binding0[1];
    let v0 = i32(u32(x0.y << 8u) >> 24u) * i32(u32(x1.y << 8u) >> 24u);
    let v1 = (x0.y & 255) * (x1.y & 255) + v0 + i32(u32(x0.y) >> 24u) * i32(u32(x1.y) >> 24u);
    let v2 = vec4<i32>(8 + dot4I8Packed(u32(x0.x), u32(x1.x)), i32(dot4U8Packed(u32(x0.y), u32(x1.y))), v1, 0);
    binding0[0] = v2;
}
