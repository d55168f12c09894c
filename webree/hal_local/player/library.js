/**
 * Files of WebAssembly, before they are compiled: what they import, and how they are made to fit a shared memory.
 *
 * Enters: libraries of the compiler, which may stand anywhere in memory and table ("dylink.0", see
 * https://github.com/WebAssembly/tool-conventions/blob/main/DynamicLinking.md), and the engine's own files. Leaves:
 * what a library needs, and the same file with a shared memory for its import: the compiler writes unshared ones.
 *
 * @typedef {{memoryBytes: number, memoryAlign: number, tableSize: number, functions: string[]}} Needs
 *     memoryAlign: a power of two; functions: the names it imports from "env"
 */

const [CUSTOM, IMPORTS] = [0, 2];
const [FUNCTION, TABLE, MEMORY, GLOBAL] = [0, 1, 2, 3];
const DYLINK_MEMORY = 1;
const HEADER_BYTES = 8;
const SHARED_WITH_MAXIMUM = 3;
const ANY_MAXIMUM = [0x80, 0x80, 0x04]; // 65536 pages; the memory itself may have less

/** A place in a file. */
class Reader {
  /** @param {Uint8Array} bytes  @param {number} at  @param {number} end */
  constructor(bytes, at = 0, end = bytes.length) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  byte() {
    if (this.at >= this.end) throw new RangeError(`a section ends too early, at byte ${this.at}`);
    return this.bytes[this.at++];
  }

  /** An unsigned number, LEB128. */
  number() {
    for (let value = 0, scale = 1; ; scale *= 128) {
      const byte = this.byte();
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  }

  /** The next `length` bytes. @param {number} length */
  part(length) {
    if (this.at + length > this.end) throw new RangeError(`a section ends too early, at byte ${this.end}`);
    this.at += length;
    return new Reader(this.bytes, this.at - length, this.at);
  }

  text() {
    const { at, end } = this.part(this.number());
    return new TextDecoder().decode(this.bytes.slice(at, end)); // A shared buffer cannot be decoded in place.
  }
}

/** @param {number} value  @returns {number[]} */
function leb128(value) {
  return value < 128 ? [value] : [(value & 127) | 128, ...leb128(Math.floor(value / 128))];
}

/** @param {Uint8Array} bytes */
function* sections(bytes) {
  const reader = new Reader(bytes, HEADER_BYTES);
  while (reader.at < reader.end) {
    const start = reader.at;
    const id = reader.byte();
    yield { id, start, body: reader.part(reader.number()) };
  }
}

/** @param {Reader} body */
function* imports(body) {
  for (let count = body.number(); count > 0; count--) {
    const [module, name, kind] = [body.text(), body.text(), body.byte()];
    if (kind === TABLE) body.byte();
    const typeStart = body.at;
    if (kind === FUNCTION) body.number();
    else if (kind === GLOBAL) body.part(2);
    else if (kind === TABLE || kind === MEMORY) {
      const hasMaximum = body.byte() & 1;
      body.number();
      if (hasMaximum) body.number();
    } else throw new RangeError(`import ${module}.${name} has the unknown kind ${kind}`);
    yield { module, name, kind, typeStart, typeEnd: body.at };
  }
}

/** What a library needs. Throws RangeError for a damaged file. @param {Uint8Array} bytes  @returns {Needs} */
export function inspect(bytes) {
  const needs = { memoryBytes: 0, memoryAlign: 1, tableSize: 0, functions: /** @type {string[]} */ ([]) };
  for (const { id, body } of sections(bytes)) {
    if (id === IMPORTS) {
      for (const { kind, name } of imports(body)) if (kind === FUNCTION) needs.functions.push(name);
    } else if (id === CUSTOM && body.text() === "dylink.0") {
      while (body.at < body.end) {
        const kind = body.byte();
        const part = body.part(body.number());
        if (kind !== DYLINK_MEMORY) continue;
        needs.memoryBytes = part.number();
        needs.memoryAlign = 2 ** part.number();
        needs.tableSize = part.number();
      }
    }
  }
  return needs;
}

/** A copy of a file whose memory import is a shared one. @param {Uint8Array} bytes  @returns {Uint8Array<ArrayBuffer>} */
export function withSharedMemory(bytes) {
  for (const { id, start, body } of sections(bytes)) {
    if (id !== IMPORTS) continue;
    const bodyStart = body.at;
    for (const { kind, typeStart, typeEnd } of imports(body)) {
      if (kind !== MEMORY) continue;
      const limits = new Reader(bytes, typeStart + 1);
      const type = [SHARED_WITH_MAXIMUM, ...leb128(limits.number()), ...ANY_MAXIMUM];
      const size = body.end - bodyStart + type.length - (typeEnd - typeStart);
      return joined([
        bytes.subarray(0, start),
        [IMPORTS, ...leb128(size)],
        bytes.subarray(bodyStart, typeStart),
        type,
        bytes.subarray(typeEnd),
      ]);
    }
  }
  return bytes.slice();
}

/** @param {(Uint8Array | number[])[]} parts */
function joined(parts) {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
