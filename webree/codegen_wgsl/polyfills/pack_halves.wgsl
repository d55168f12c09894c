// Two f16 in a word. SwiftShader's pack2x16float rounds some numbers below 2**-14 the wrong way, and sets a bit too many,
// in both halves, where one is infinite; numbers from 65520 on round to infinity. Adding 0.5 rounds the former in f32.
fn NAME(pair: vec2<f32>) -> u32 {
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
