/**
 * Command streams: from words to commands with every buffer and bind group in its place, and to a submission.
 *
 * Enters: words, a binding table, a constants region (command_stream.py describes the format). Leaves: one submission.
 *
 * @import { Memory } from "./memory.js"
 * @import { Kernels } from "./kernels.js"
 * @typedef {[buffer: number, offset: number, size: number]} Range
 * @typedef {{run: (recorder: Recorder) => void, isDispatch: boolean}} Command
 */

const OPCODE = { DISPATCH: 1, DISPATCH_INDIRECT: 2, COPY: 3, CLEAR: 4 };
const DISPATCH_HEADER_WORDS = 7;
const RANGE_WORDS = 3;
const SLOT = 0x80000000;
const WHOLE = 0xffffffff;
const OWN_CONSTANTS = 0;
const CONSTANTS_LAYOUT_ID = -1;
const KEPT_BIND_GROUPS = 4096;

/** Collects commands into one GPUCommandEncoder, with compute passes as long as they can be. */
export class Recorder {
  /** @param {GPUDevice} device */
  constructor(device) {
    this.encoder = device.createCommandEncoder();
    /** @type {GPUComputePassEncoder | null} */
    this.openPass = null;
  }

  get pass() {
    return (this.openPass ??= this.encoder.beginComputePass());
  }

  /** The encoder, for what stands outside passes. */
  get copies() {
    this.endPass();
    return this.encoder;
  }

  endPass() {
    this.openPass?.end();
    this.openPass = null;
  }

  finish() {
    this.endPass();
    return this.encoder.finish();
  }
}

export class Replayer {
  /** @type {Map<string, GPUBindGroup>} */ #bindGroups = new Map();
  /** Keys of `#bindGroups` by buffer. @type {Map<number, string[]>} */ #keysOf = new Map();

  /**
   * @param {GPUDevice} device
   * @param {Memory} memory
   * @param {Kernels} kernels
   */
  constructor(device, memory, kernels) {
    this.device = device;
    this.memory = memory;
    this.kernels = kernels;
  }

  /** Record and submit. @param {Command[]} commands */
  play(commands) {
    const recorder = new Recorder(this.device);
    for (const command of commands) command.run(recorder);
    this.device.queue.submit([recorder.finish()]);
  }

  /**
   * @param {Uint32Array} words
   * @param {number} region  handle of the buffer with the stream's constants, 0 if it has none
   * @param {Uint32Array} table
   * @returns {Command[]}
   */
  resolve(words, region, table) {
    /** The range at `words[at…]`, slots replaced. @param {number} at @returns {Range} */
    const range = (at) => {
      const [name, offset, size] = words.subarray(at, at + RANGE_WORDS);
      if (name === OWN_CONSTANTS) return [region, offset, size];
      if (name < SLOT) return [name, offset, size];
      const slot = RANGE_WORDS * (name - SLOT);
      return [table[slot], table[slot + 1] + offset, size === WHOLE ? table[slot + 2] - offset : size];
    };
    const commands = [];
    for (let at = 0; at < words.length; at += words[at] >>> 8) {
      switch (words[at] & 0xff) {
        case OPCODE.DISPATCH:
        case OPCODE.DISPATCH_INDIRECT:
          commands.push(this.#dispatch(words.subarray(at, at + (words[at] >>> 8)), region, (word) => range(at + word)));
          break;
        case OPCODE.COPY:
          commands.push(this.#copy(range(at + 1), range(at + 3)));
          break;
        case OPCODE.CLEAR:
          commands.push(this.#clear(range(at + 1)));
          break;
        default:
          throw new Error(`unknown command ${words[at]} at word ${at}`);
      }
    }
    return commands;
  }

  /** Forget every bind group that holds a buffer. @param {number} buffer */
  forget(buffer) {
    for (const key of this.#keysOf.get(buffer) ?? []) this.#bindGroups.delete(key);
    this.#keysOf.delete(buffer);
  }

  clear() {
    this.#bindGroups.clear();
    this.#keysOf.clear();
  }

  /** @param {Range} source  @param {Range} target  @returns {Command} */
  #copy([source, sourceOffset], [target, targetOffset, size]) {
    const [from, to] = [this.memory.get(source), this.memory.get(target)];
    return {
      run: (recorder) => recorder.copies.copyBufferToBuffer(from, sourceOffset, to, targetOffset, size),
      isDispatch: false,
    };
  }

  /** @param {Range} target  @returns {Command} */
  #clear([target, offset, size]) {
    const buffer = this.memory.get(target);
    return { run: (recorder) => recorder.copies.clearBuffer(buffer, offset, size), isDispatch: false };
  }

  /**
   * @param {Uint32Array} words  of this command alone
   * @param {number} region
   * @param {(word: number) => Range} range
   * @returns {Command}
   */
  #dispatch(words, region, range) {
    const [header, pipelineHandle, x, y, z, constantsOffset, constantsSize] = words;
    const { pipeline, layout } = this.kernels.get(pipelineHandle);
    const ranges = [];
    for (let word = DISPATCH_HEADER_WORDS; word < words.length; word += RANGE_WORDS) ranges.push(range(word));
    const bindings = this.#bindGroup(layout.id, layout.bindings, ranges);
    const constants = constantsSize
      ? this.#bindGroup(CONSTANTS_LAYOUT_ID, this.kernels.constantsLayout, [[region, 0, constantsSize]])
      : null;
    const isIndirect = (header & 0xff) === OPCODE.DISPATCH_INDIRECT;
    const [counts, countsOffset] = isIndirect ? range(2) : [0, 0];
    const indirect = isIndirect ? this.memory.get(counts) : null;

    const run = (/** @type {Recorder} */ { pass }) => {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bindings);
      if (constants) pass.setBindGroup(1, constants, [constantsOffset]);
      if (indirect) pass.dispatchWorkgroupsIndirect(indirect, countsOffset);
      else pass.dispatchWorkgroups(x, y, z);
    };
    return { run, isDispatch: true };
  }

  /**
   * @param {number} layoutId
   * @param {GPUBindGroupLayout} layout
   * @param {Range[]} ranges
   */
  #bindGroup(layoutId, layout, ranges) {
    const key = `${layoutId}:${ranges.join(":")}`;
    let group = this.#bindGroups.get(key);
    if (group) return group;
    group = this.device.createBindGroup({
      layout,
      entries: ranges.map(([handle, offset, size], binding) => ({
        binding,
        resource: { buffer: this.memory.get(handle), offset, size },
      })),
    });
    if (this.#bindGroups.size >= KEPT_BIND_GROUPS) this.clear();
    this.#bindGroups.set(key, group);
    for (const handle of new Set(ranges.map(([name]) => name))) {
      const keys = this.#keysOf.get(handle);
      if (keys) keys.push(key);
      else this.#keysOf.set(handle, [key]);
    }
    return group;
  }
}
