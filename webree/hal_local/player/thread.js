/**
 * One thread of the CPU device: its own table, its own instances of the libraries, and its own player.
 *
 * Enters: the engine's memory, compiled modules and where they stand in memory and table; streams. Leaves: results in
 * the memory. The page's thread, a worker alone and a worker among several all play through this class.
 *
 * @typedef {{control: number, failure: number, stream: number, streamWords: number}} Addresses  see layout.py
 * @typedef {{memory: WebAssembly.Memory, player: WebAssembly.Module, libm: WebAssembly.Module, addresses: Addresses,
 *     index: number, count: number, stackPointer: number}} Start
 * @typedef {{identifier: number, module: WebAssembly.Module, dataBase: number, tableBase: number, tableSize: number,
 *     slot: number}} Placed  slot: where the library's address is kept; tableSize: that every thread needs now
 * @typedef {{message: string, trap: boolean, status: number, library: number, export: number}} Failure
 *     library, export: -1 where it was no kernel
 */

const EXECUTABLE_LIBRARY_VERSION = 6;
const ENVIRONMENT_OFFSET = 256;
const OPCODE_BITS = 8;
const LAST_DISPATCH_OPCODE = 2;

/** What C says of these, and JavaScript does not. @type {Record<string, (...operands: number[]) => number>} */
const C_MATH = {
  pow: (x, y) => (x === 1 || (x === -1 && Math.abs(y) === Infinity) ? 1 : x ** y),
  exp2: (x) => 2 ** x,
};

/** The functions of libm that JavaScript has, for double and (the same, rounded on return) for float. */
export const HOST_MATH = Object.fromEntries(
  [...new Set([...Object.getOwnPropertyNames(Math), ...Object.keys(C_MATH)])]
    .map((name) => [name, C_MATH[name] ?? Reflect.get(Math, name)])
    .filter(([, value]) => typeof value === "function")
    .flatMap(([name, value]) => [
      [name, value],
      [`${name}f`, value],
    ]),
);
for (const name of ["round", "max", "min", "random"]) {
  delete HOST_MATH[name]; // JavaScript's round differs from C's.
  delete HOST_MATH[`${name}f`];
}

export class Thread {
  /** @type {Map<number, WebAssembly.Instance>} */ #libraries = new Map();
  /** @type {any} */ #player;

  /** @param {Start} start */
  constructor({ memory, player, libm, addresses, index, count, stackPointer }) {
    this.memory = memory;
    this.addresses = addresses;
    this.index = index;
    this.count = count;
    this.table = new WebAssembly.Table({ element: "anyfunc", initial: 1 });
    this.env = {
      memory,
      __indirect_function_table: this.table,
      __stack_pointer: new WebAssembly.Global({ value: "i32", mutable: true }, stackPointer),
      ...HOST_MATH,
    };
    Object.assign(this.env, new WebAssembly.Instance(libm, { env: this.env }).exports);
    this.#player = new WebAssembly.Instance(player, { env: this.env }).exports;
  }

  /** Make a library part of this thread; its data is written, the same by every thread. @param {Placed} placed */
  link({ identifier, module, dataBase, tableBase, tableSize, slot }) {
    if (this.table.length < tableSize) this.table.grow(tableSize - this.table.length);
    const env = { ...this.env, __memory_base: immutable(dataBase), __table_base: immutable(tableBase) };
    const instance = new WebAssembly.Instance(module, { env });
    const library = /** @type {any} */ (instance.exports);
    library.__wasm_apply_data_relocs?.();
    const environment = this.addresses.control + ENVIRONMENT_OFFSET;
    const address = library.iree_hal_executable_library_query(EXECUTABLE_LIBRARY_VERSION, environment);
    if (!address) throw new Error("the library is older than version 6 of IREE's executable interface");
    new Uint32Array(this.memory.buffer, slot, 1)[0] = address;
    this.#libraries.set(identifier, instance);
  }

  /** @param {number} identifier */
  unlink(identifier) {
    this.#libraries.delete(identifier);
  }

  /** Play a stream, with the other threads if there are any. @param {Uint32Array} words  @returns {Failure | null} */
  play(words) {
    const { control, stream, streamWords } = this.addresses;
    try {
      for (const piece of pieces(words, streamWords)) {
        new Uint32Array(this.memory.buffer, stream, piece.length).set(piece);
        const end = stream + piece.byteLength;
        const status =
          this.count > 1
            ? this.#player.lead(stream, end, control, this.count)
            : this.#player.play(stream, end, control, 0, 1);
        if (status) return this.#failure("");
      }
      return null;
    } catch (error) {
      return this.#trapped(error);
    }
  }

  /** Help the leading thread until it dismisses this one. @returns {Failure | null} */
  serve() {
    try {
      this.#player.serve(this.addresses.control, this.index, this.count);
      return null;
    } catch (error) {
      return this.#trapped(error);
    }
  }

  /** @param {unknown} error  @returns {Failure} */
  #trapped(error) {
    this.#player.trapped(this.addresses.control, this.index);
    return this.#failure(error instanceof Error ? error.message : String(error));
  }

  /** @param {string} message  @returns {Failure} */
  #failure(message) {
    const [status, address, trap] = new Int32Array(this.memory.buffer, this.addresses.failure, 3);
    const [header, library, kernel] = new Uint32Array(this.memory.buffer, address, 3);
    const isKernel = (header & ((1 << OPCODE_BITS) - 1)) <= LAST_DISPATCH_OPCODE;
    return { message, trap: trap !== 0, status, library: isKernel ? library : -1, export: isKernel ? kernel : -1 };
  }
}

/** @param {number} value */
const immutable = (value) => new WebAssembly.Global({ value: "i32" }, value);

/** A stream in parts of whole commands that fit. @param {Uint32Array} words  @param {number} most */
export function* pieces(words, most) {
  let start = 0;
  for (let at = 0; at < words.length; ) {
    const next = at + (words[at] >>> OPCODE_BITS);
    if (next - start > most) {
      yield words.subarray(start, at);
      start = at;
    }
    at = next;
  }
  if (start < words.length) yield words.subarray(start);
}
