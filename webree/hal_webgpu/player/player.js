/**
 * The JavaScript half of webree's browser driver: finds adapters, opens a device, and replays command streams on it.
 *
 * Enters: calls of browser.py, with numbers and typed arrays only. Leaves: work on the queue of one GPUDevice, promises
 * for what takes time, and one call of `onFailure` for what went wrong behind the caller's back. What every method must
 * do stands in backend.py; everything was validated there.
 *
 * These files import nothing but each other, so that they can be loaded from their text inside the Python wheel, in a
 * worker or on a page.
 *
 * WebGPU: https://www.w3.org/TR/webgpu/
 *
 * @import { Command } from "./replay.js"
 * @import { PipelineSpec, Shader } from "./kernels.js"
 * @typedef {{kind: string, asked: number, message: string}} Failure  kind: "lost", "out-of-memory" or "invalid"
 * @typedef {{words: Uint32Array, region: number, replays: Replay[], epoch: number}} Stream
 * @typedef {{table: Uint32Array, commands: Command[]}} Replay
 */
import { Kernels } from "./kernels.js";
import { Memory, powerOfTwo } from "./memory.js";
import { timeDispatches } from "./profile.js";
import { Replayer } from "./replay.js";

const FEATURES = ["shader-f16", "subgroups", "timestamp-query"];
const SOFTWARE_ADAPTER = /swiftshader|llvmpipe|lavapipe|software|basic render/i;
const KEPT_REPLAYS = 4;

/** @param {GPUSupportedLimits} limits  @returns {Record<string, number>} */
function plainLimits(limits) {
  /** @type {Record<string, number>} */
  const found = {};
  for (const name in limits) {
    const value = limits[/** @type {keyof GPUSupportedLimits} */ (name)];
    if (typeof value === "number") found[name] = value;
  }
  return found;
}

/** @param {GPUAdapter} adapter */
function describe(adapter) {
  const { vendor, architecture, device, description, isFallbackAdapter = false } = adapter.info;
  const words = [vendor, architecture, device, description].filter(Boolean);
  return {
    name: words.length ? [...new Set(words)].join(" ") : "WebGPU adapter",
    description: `navigator.gpu, ${globalThis.navigator.userAgent}`,
    software: isFallbackAdapter || SOFTWARE_ADAPTER.test(words.join(" ")),
    limits: plainLimits(adapter.limits),
    features: FEATURES.filter((name) => adapter.features.has(name)),
  };
}

/** The best adapter and the software one, as far as there are such. @returns {Promise<GPUAdapter[]>} */
async function requestAdapters() {
  const gpu = globalThis.navigator?.gpu;
  if (!gpu) return [];
  /** @type {GPURequestAdapterOptions[]} */
  const options = [{ powerPreference: "high-performance" }, { forceFallbackAdapter: true }];
  const found = await Promise.all(options.map((option) => gpu.requestAdapter(option)));
  return found.filter((adapter) => adapter !== null);
}

/** Why `adapters` may have found nothing, for the error message. */
export function whyNoAdapter() {
  if (!globalThis.isSecureContext) return "this page is not a secure context (https or localhost), so WebGPU is off";
  if (!globalThis.navigator?.gpu) return "this browser has no WebGPU here (navigator.gpu is missing)";
  return "navigator.gpu.requestAdapter() gave no adapter";
}

/** All adapters, the best first. */
export async function adapters() {
  const described = (await requestAdapters()).map(describe);
  return described.filter(({ name }, index) => described.findIndex((other) => other.name === name) === index);
}

/**
 * Open a device with everything the adapter has.
 * @param {string | null} name  the adapter's name as `adapters` gave it, or null for the best one
 * @param {(failure: Failure) => void} onFailure  called at most once
 * @returns {Promise<Player | undefined>} undefined (Python's None) if there is no such adapter
 */
export async function open(name, onFailure) {
  const adapter = (await requestAdapters()).find((candidate) => !name || describe(candidate).name === name);
  if (!adapter) return undefined;
  const info = describe(adapter);
  const device = await adapter.requestDevice({
    label: "webree",
    requiredFeatures: /** @type {GPUFeatureName[]} */ (info.features),
    requiredLimits: info.limits,
  });
  return new Player(device, { ...info, limits: plainLimits(device.limits) }, onFailure);
}

/** A GPU device and its queue, with everything on it known by number. */
export class Player {
  #lastHandle = 0;
  #closed = false;
  #failed = false;
  /** Counts destroyed buffers: replays resolved before the last one may hold a dead bind group. */
  #epoch = 0;
  /** @type {Map<number, Stream>} */ #streams = new Map();
  /** Constants of the last one-shot stream. */
  #oneShotRegion = 0;

  /**
   * @param {GPUDevice} device
   * @param {ReturnType<typeof describe>} info
   * @param {(failure: Failure) => void} onFailure
   */
  constructor(device, info, onFailure) {
    this.device = device;
    this.info = info;
    this.onFailure = onFailure;
    const newHandle = () => ++this.#lastHandle;
    this.memory = new Memory(device, newHandle, (...what) => this.#fail(...what));
    this.kernels = new Kernels(device, newHandle);
    this.replayer = new Replayer(device, this.memory, this.kernels);
    device.lost.then(({ reason, message }) => this.#fail("lost", message || reason || "unknown reason"));
    device.onuncapturederror = (event) => {
      event.preventDefault();
      const outOfMemory = event.error instanceof GPUOutOfMemoryError;
      this.#fail(outOfMemory ? "out-of-memory" : "invalid", event.error.message);
    };
  }

  /** @param {number} byteSize */
  createBuffer(byteSize) {
    return this.memory.createStorage(byteSize);
  }

  /** @param {number} handle */
  destroyBuffer(handle) {
    this.memory.destroy(handle);
    this.replayer.forget(handle);
    this.#epoch++;
  }

  /** @param {number} handle  @param {number} byteOffset  @param {Uint8Array<ArrayBuffer>} bytes */
  writeBuffer(handle, byteOffset, bytes) {
    this.memory.write(handle, byteOffset, bytes);
  }

  /** @param {Shader[]} shaders  @param {PipelineSpec[]} specs */
  createPipelines(shaders, specs) {
    return this.kernels.create(shaders, specs);
  }

  /** @param {Uint32Array} words  @param {Uint8Array<ArrayBuffer>} constants */
  loadStream(words, constants) {
    const region = constants.byteLength ? this.memory.createRegion(constants.byteLength) : 0;
    if (region) this.memory.write(region, 0, constants);
    this.#streams.set(++this.#lastHandle, { words: words.slice(), region, replays: [], epoch: this.#epoch });
    return this.#lastHandle;
  }

  /** @param {number} handle */
  releaseStream(handle) {
    const stream = this.#streams.get(handle);
    if (stream?.region) this.destroyBuffer(stream.region);
    this.#streams.delete(handle);
  }

  /** @param {number} handle  @param {Uint32Array} table */
  submitStream(handle, table) {
    const stream = this.#streams.get(handle);
    if (!stream) throw new Error(`no stream ${handle}`);
    this.replayer.play(this.#replayOf(stream, table).commands);
  }

  /** @param {Uint32Array} words  @param {Uint8Array<ArrayBuffer>} constants  @param {Uint32Array} table */
  submit(words, constants, table) {
    this.replayer.play(this.replayer.resolve(words, this.#writeOneShot(constants), table));
  }

  /** @param {Uint32Array} words  @param {Uint8Array<ArrayBuffer>} constants  @param {Uint32Array} table */
  profile(words, constants, table) {
    const commands = this.replayer.resolve(words, this.#writeOneShot(constants), table);
    return timeDispatches(this.device, this.memory, this.replayer, commands);
  }

  /** @param {Uint32Array} ranges */
  readBack(ranges) {
    return this.memory.readBack(ranges);
  }

  /** Free everything. */
  destroy() {
    this.#closed = true;
    this.memory.destroyAll();
    this.kernels.clear();
    this.replayer.clear();
    this.#streams.clear();
    this.device.destroy();
  }

  /** Commands for a binding table; the last few are kept. @param {Stream} stream  @param {Uint32Array} table */
  #replayOf(stream, table) {
    if (stream.epoch !== this.#epoch) {
      stream.replays = [];
      stream.epoch = this.#epoch;
    }
    const { replays } = stream;
    const found = replays.findIndex((known) => known.table.every((word, index) => word === table[index]));
    const replay =
      found >= 0
        ? replays.splice(found, 1)[0]
        : { table: table.slice(), commands: this.replayer.resolve(stream.words, stream.region, table) };
    replays.unshift(replay);
    replays.length = Math.min(replays.length, KEPT_REPLAYS);
    return replay;
  }

  /** The buffer that holds them now, 0 if there are none. @param {Uint8Array<ArrayBuffer>} constants */
  #writeOneShot(constants) {
    if (!constants.byteLength) return 0;
    const size = this.#oneShotRegion ? this.memory.get(this.#oneShotRegion).size : 0;
    if (size < constants.byteLength) {
      if (this.#oneShotRegion) this.destroyBuffer(this.#oneShotRegion);
      this.#oneShotRegion = this.memory.createRegion(powerOfTwo(constants.byteLength));
    }
    this.memory.write(this.#oneShotRegion, 0, constants);
    return this.#oneShotRegion;
  }

  /** @param {string} kind  @param {string} message  @param {number} asked */
  #fail(kind, message, asked = 0) {
    if (this.#failed || this.#closed) return;
    this.#failed = true;
    this.onFailure({ kind, message, asked });
  }
}
