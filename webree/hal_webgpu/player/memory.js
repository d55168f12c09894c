/**
 * GPU buffers by number, and the copy buffers through which bytes come back.
 *
 * Enters: sizes, ranges, bytes. Leaves: handles, and bytes in JavaScript's memory. Every creation stands in an error
 * scope: running out of memory is told to `fail` with the size that was asked for.
 *
 * @typedef {(kind: string, message: string, asked?: number) => void} Fail
 * @typedef {{buffer: GPUBuffer, byteSize: number}} Staging
 */

/** Values of GPUBufferUsage, which does not exist where WebGPU does not. */
export const USAGE = {
  MAP_READ: 1,
  COPY_SRC: 4,
  COPY_DST: 8,
  UNIFORM: 64,
  STORAGE: 128,
  INDIRECT: 256,
  QUERY_RESOLVE: 512,
};

const MAP_MODE_READ = 1;
const RANGE_WORDS = 3;
const SMALLEST_STAGING_BYTES = 4096;
const KEPT_STAGING_BUFFERS = 2;
const EVENTS_MS = 100;

/** @param {number} byteSize */
export const powerOfTwo = (byteSize) => Math.max(SMALLEST_STAGING_BYTES, 2 ** Math.ceil(Math.log2(byteSize || 1)));

export class Memory {
  /** @type {Map<number, GPUBuffer>} */ #buffers = new Map();
  /** @type {Staging[]} */ #freeStaging = [];

  /**
   * @param {GPUDevice} device
   * @param {() => number} newHandle
   * @param {Fail} fail
   */
  constructor(device, newHandle, fail) {
    this.device = device;
    this.newHandle = newHandle;
    this.fail = fail;
  }

  /** A buffer for everything a program does. @param {number} byteSize  @returns {number} */
  createStorage(byteSize) {
    return this.#keep(byteSize, USAGE.STORAGE | USAGE.COPY_SRC | USAGE.COPY_DST | USAGE.INDIRECT);
  }

  /** A buffer for the constants region of streams. @param {number} byteSize  @returns {number} */
  createRegion(byteSize) {
    return this.#keep(byteSize, USAGE.UNIFORM | USAGE.STORAGE | USAGE.COPY_SRC | USAGE.COPY_DST);
  }

  /** @param {number} handle */
  get(handle) {
    const buffer = this.#buffers.get(handle);
    if (!buffer) throw new Error(`no buffer ${handle}`);
    return buffer;
  }

  /** @param {number} handle */
  destroy(handle) {
    this.#buffers.get(handle)?.destroy();
    this.#buffers.delete(handle);
  }

  /** @param {number} handle  @param {number} byteOffset  @param {Uint8Array<ArrayBuffer>} bytes */
  write(handle, byteOffset, bytes) {
    this.device.queue.writeBuffer(this.get(handle), byteOffset, bytes);
  }

  /**
   * Copy ranges to JavaScript's memory, with one copy buffer and one map.
   * @param {Uint32Array} ranges  three words each: buffer, offset, size
   * @returns {Promise<Uint8Array[]>}
   */
  async readBack(ranges) {
    let total = 0;
    for (let at = 0; at < ranges.length; at += RANGE_WORDS) total += ranges[at + 2];
    const staging = this.takeStaging(total);
    const encoder = this.device.createCommandEncoder();
    const ends = [0];
    for (let at = 0; at < ranges.length; at += RANGE_WORDS) {
      const [handle, offset, size] = ranges.subarray(at, at + RANGE_WORDS);
      const end = /** @type {number} */ (ends.at(-1));
      if (size) encoder.copyBufferToBuffer(this.get(handle), offset, staging.buffer, end, size);
      ends.push(end + size);
    }
    this.device.queue.submit([encoder.finish()]);
    const bytes = await this.readStaging(staging, total);
    return ends.slice(1).map((end, index) => bytes.subarray(ends[index], end));
  }

  /** A copy buffer of at least this size. @param {number} byteSize  @returns {Staging} */
  takeStaging(byteSize) {
    const found = this.#freeStaging.findIndex((staging) => staging.byteSize >= byteSize);
    if (found >= 0) return this.#freeStaging.splice(found, 1)[0];
    this.#freeStaging.shift()?.buffer.destroy(); // The kept ones were all too small.
    const size = powerOfTwo(byteSize);
    return { buffer: this.#create(size, USAGE.MAP_READ | USAGE.COPY_DST), byteSize: size };
  }

  /** Map, copy out, unmap, and keep the buffer for later. @param {Staging} staging  @param {number} byteLength */
  async readStaging(staging, byteLength) {
    try {
      await staging.buffer.mapAsync(MAP_MODE_READ, 0, byteLength);
    } catch (error) {
      staging.buffer.destroy();
      // Let the events of a lost device or a rejected command arrive first: they say why.
      const timeout = new Promise((resolve) => setTimeout(resolve, EVENTS_MS));
      await Promise.race([this.device.lost, timeout]);
      throw error;
    }
    const bytes = new Uint8Array(staging.buffer.getMappedRange(0, byteLength).slice(0));
    staging.buffer.unmap();
    if (this.#freeStaging.length < KEPT_STAGING_BUFFERS) this.#freeStaging.push(staging);
    else staging.buffer.destroy();
    return bytes;
  }

  destroyAll() {
    for (const buffer of this.#buffers.values()) buffer.destroy();
    for (const { buffer } of this.#freeStaging) buffer.destroy();
    this.#buffers.clear();
    this.#freeStaging = [];
  }

  /** @param {number} byteSize  @param {number} usage */
  #keep(byteSize, usage) {
    const handle = this.newHandle();
    this.#buffers.set(handle, this.#create(byteSize, usage));
    return handle;
  }

  /** @param {number} byteSize  @param {number} usage */
  #create(byteSize, usage) {
    this.device.pushErrorScope("out-of-memory");
    const buffer = this.device.createBuffer({ size: byteSize, usage });
    this.device.popErrorScope().then(
      (error) => error && this.fail("out-of-memory", error.message, byteSize),
      () => {}, // The device is lost, which is told elsewhere.
    );
    return buffer;
  }
}
