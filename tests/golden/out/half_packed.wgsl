// A value that no WGSL literal can say (NaN, infinity, -0, a denormal), from its bits at run time.
fn f32_from_bits(bits: u32) -> f32 {
    return bitcast<f32>(bits);
}

// Two f16 in a word. SwiftShader's pack2x16float rounds some numbers below 2**-14 the wrong way, and sets a bit too many,
// in both halves, where one is infinite; numbers from 65520 on round to infinity. Adding 0.5 rounds the former in f32.
fn pack_halves(pair: vec2<f32>) -> u32 {
    let bits = bitcast<vec2<u32>>(pair);
    let size = bits & vec2<u32>(0x7fffffffu);
    let sign = (bits >> vec2<u32>(16u)) & vec2<u32>(0x8000u);
    let special = size >= vec2<u32>(0x477ff000u);
    let packed = pack2x16float(select(pair, vec2<f32>(0.0), special));
    let nan = select(vec2<u32>(0u), vec2<u32>(0x200u), size > vec2<u32>(0x7f800000u));
    let tiny = bitcast<vec2<u32>>(abs(pair) + vec2<f32>(0.5)) - vec2<u32>(0x3f000000u);
    let normal = select(vec2<u32>(packed & 0xffffu, packed >> 16u), sign | tiny, size < vec2<u32>(0x38800000u));
    let halves = select(normal, sign | vec2<u32>(0x7c00u) | nan, special);
    return halves.x | (halves.y << 16u);
}

// WGSL may assume that no NaN occurs, so x != x may fold to false: look at the bits.
fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & u32(0x7fffffffu)) > u32(0x7f800000u);
}

// Some implementations compute tanh from exp(2x), which overflows; beyond 10 the f32 result is 1. NaN stays NaN.
fn tanh_stable(x: f32) -> f32 {
    return select(tanh(clamp(x, f32(-10.0), f32(10.0))), x, is_nan(x));
}

// no features. f16 buffers on a device without f16: single values, and vectors of four.

@group(0) @binding(0) var<storage, read_write> binding0: array<i32>;
@group(0) @binding(1) var<storage, read_write> binding1: array<atomic<i32>>;
@group(0) @binding(2) var<storage, read_write> binding2: array<vec2<i32>>;

@compute @workgroup_size(1, 1, 1)
fn kernel(
    @builtin(global_invocation_id) global_invocation_id: vec3<u32>,
) {
    let global_invocation_id_x = i32(global_invocation_id.x);
    let x0 = unpack2x16float(u32(binding0[global_invocation_id_x >> 1u]))[global_invocation_id_x & 1];
    let v0 = unpack2x16float(pack_halves(vec2<f32>(exp(x0 * 0.5), 0.0))).x;
    let v1 = select(tanh_stable(v0), 0.5, v0 == f32_from_bits(0x7f800000u));
    let shift0 = u32(global_invocation_id_x & 1) << 4u;
    let bits0 = pack_halves(vec2<f32>(v1, 0.0));
    atomicAnd(&binding1[global_invocation_id_x >> 1u], ~(65535 << shift0));
    atomicOr(&binding1[global_invocation_id_x >> 1u], i32(bits0 << shift0));
    let x1 = vec4<f32>(unpack2x16float(u32(binding2[global_invocation_id_x].x)), unpack2x16float(u32(binding2[global_invocation_id_x].y)));
    let v2 = bitcast<vec2<i32>>(vec2<u32>(pack_halves(x1.xy), pack_halves(x1.zw)));
    let words0 = bitcast<vec2<u32>>(v2);
    let v3 = vec4<f32>(unpack2x16float(words0.x), unpack2x16float(words0.y));
    let v4 = x1 + v3;
    binding2[global_invocation_id_x].x = i32(pack_halves(v4.xy));
    binding2[global_invocation_id_x].y = i32(pack_halves(v4.zw));
}
