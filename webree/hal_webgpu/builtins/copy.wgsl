// Copies `length` bytes between any byte positions of two different buffers, positions counted from the bindings' starts.
// constants: source begin, target begin, length.
// Each invocation owns whole words of the target and assembles them from two neighbouring words of the source.

@group(0) @binding(0) var<storage, read> source_words: array<u32>;
@group(0) @binding(1) var<storage, read_write> target_words: array<u32>;
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
fn copy(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let source_begin = constants[0].x;
  let begin = constants[0].y;
  let end = begin + constants[0].z;
  let end_word = (end + 3u) / 4u;
  for (var index = begin / 4u + id.x; index < end_word; index += groups.x * 64u) {
    // Byte 0 of this word comes from source byte `index * 4 + source_begin - begin`, which may lie up to 3 bytes before
    // the source's binding: add 4 so that nothing wraps below zero, and take 1 from the word index again.
    let position = index * 4u + 4u + source_begin - begin;
    let word = position / 4u;
    let shift = (position & 3u) * 8u;
    var value = 0u;
    if (word > 0u) {
      value = source_words[word - 1u] >> shift;
    }
    if (shift > 0u) {
      value |= source_words[word] << (32u - shift);
    }
    let bits = covered_bits(index, begin, end);
    target_words[index] = (target_words[index] & ~bits) | (value & bits);
  }
}
