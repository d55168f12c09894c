// Two f16 in a word. SwiftShader's pack2x16float sets a bit too many, in both halves, where one is infinite; numbers
// from 65520 on round to infinity.
fn NAME(pair: vec2<f32>) -> u32 {
    let bits = bitcast<vec2<u32>>(pair);
    let size = bits & vec2<u32>(0x7fffffffu);
    let special = size >= vec2<u32>(0x477ff000u);
    let packed = pack2x16float(select(pair, vec2<f32>(0.0), special));
    let nan = select(vec2<u32>(0u), vec2<u32>(0x200u), size > vec2<u32>(0x7f800000u));
    let unbounded = ((bits >> vec2<u32>(16u)) & vec2<u32>(0x8000u)) | vec2<u32>(0x7c00u) | nan;
    let halves = select(vec2<u32>(packed & 0xffffu, packed >> 16u), unbounded, special);
    return halves.x | (halves.y << 16u);
}
