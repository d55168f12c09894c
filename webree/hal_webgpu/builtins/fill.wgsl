// Repeats a pattern of up to 8 bytes over bytes [begin, end) of the target, bytes counted from the binding's start.
// constants: begin, end, pattern as two words that repeat from byte 0 of the binding (the host rotates it into place).
// Each invocation owns whole words, so bytes outside the range are kept without atomics.

@group(0) @binding(0) var<storage, read_write> target_words: array<u32>;
@group(1) @binding(0) var<uniform> constants: array<vec4<u32>, 1>;

// Bits of word `index` that lie in bytes [begin, end).
fn covered_bits(index: u32, begin: u32, end: u32) -> u32 {
  let first = index * 4u;
  var bits = 0xffffffffu;
  if (begin > first) {
    bits = bits << ((begin - first) * 8u);
  }
  if (end < first + 4u) {
    bits = bits & (0xffffffffu >> ((first + 4u - end) * 8u));
  }
  return bits;
}

@compute @workgroup_size(64)
fn fill(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let begin = constants[0].x;
  let end = constants[0].y;
  let end_word = (end + 3u) / 4u;
  for (var index = begin / 4u + id.x; index < end_word; index += groups.x * 64u) {
    let value = select(constants[0].z, constants[0].w, (index & 1u) == 1u);
    let bits = covered_bits(index, begin, end);
    target_words[index] = (target_words[index] & ~bits) | (value & bits);
  }
}
