/**
 * The JavaScript half of webree's browser driver: replays command streams on navigator.gpu.
 *
 * Enters: calls of `browser.py`, with numbers and typed arrays only. Leaves: work on the queue of one GPUDevice, promises for
 * what takes time, and calls of `onFailure` for what went wrong behind the caller's back. The format of a stream is
 * described in `command_stream.py`, and what every method must do in `backend.py`; everything was validated there.
 *
 * The module imports nothing, so that it can be loaded from the text inside the Python wheel, in a worker or on a page.
 *
 * WebGPU: https://www.w3.org/TR/webgpu/
 *
 * @typedef {{kind: string, asked: number, message: string}} Failure  kind: "lost", "out-of-memory" or "invalid"
 * @typedef {{label: string, source: Uint8Array}} Shader
 * @typedef {{label: string, shader: number, entryPoint: string, readOnly: boolean[], hasConstants: boolean}} PipelineSpec
 * @typedef {{line: number, column: number, type: string, message: string}} ShaderMessage  line and column count from 1
 * @typedef {{label: string, entryPoint: string, source: string, message: string, messages: ShaderMessage[]}} ShaderFailure
 * @typedef {{id: number, readOnly: boolean[], bindings: GPUBindGroupLayout, pipeline: GPUPipelineLayout}} Layout
 * @typedef {{label: string, layout: Layout, pipeline: GPUComputePipeline | null}} Kernel
 * @typedef {{run: (recorder: Recorder) => void, isDispatch: boolean}} Command
 * @typedef {{words: Uint32Array, region: number, replays: {table: Uint32Array, commands: Command[]}[], epoch: number}} Stream
 * @typedef {{buffer: GPUBuffer, byteSize: number}} Staging
 */

const OPCODE = { DISPATCH: 1, DISPATCH_INDIRECT: 2, COPY: 3, CLEAR: 4 };
const DISPATCH_HEADER_WORDS = 7;
const BINDING_WORDS = 3;
const SLOT = 0x80000000;
const WHOLE = 0xffffffff;
const OWN_CONSTANTS = 0;

const LOSS_DELAY_MS = 200;
const KEPT_REPLAYS = 4;
const KEPT_STAGING_BUFFERS = 2;
const KEPT_BIND_GROUPS = 4096;
const SMALLEST_BUFFER_BYTES = 4096;
const QUERIES_PER_SET = 4096;

/** Numeric value of the flags, so that this file can be read where WebGPU's globals do not exist. */
const USAGE = { MAP_READ: 1, COPY_SRC: 4, COPY_DST: 8, UNIFORM: 64, STORAGE: 128, INDIRECT: 256, QUERY_RESOLVE: 512 };
const COMPUTE_STAGE = 4;

const FEATURES = ["shader-f16", "subgroups", "timestamp-query"];
const SOFTWARE_ADAPTER = /swiftshader|llvmpipe|lavapipe|software|basic render/i;

/** @param {number} byteSize */
const powerOfTwo = (byteSize) => Math.max(SMALLEST_BUFFER_BYTES, 2 ** Math.ceil(Math.log2(Math.max(1, byteSize))));

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
  const info = adapter.info ?? {};
  const words = [info.vendor, info.architecture, info.device, info.description].filter(Boolean);
  return {
    name: words.length ? [...new Set(words)].join(" ") : "WebGPU adapter",
    description: `navigator.gpu, ${globalThis.navigator.userAgent}`,
    software: Boolean(info.isFallbackAdapter) || SOFTWARE_ADAPTER.test(words.join(" ")),
    limits: plainLimits(adapter.limits),
    features: FEATURES.filter((name) => adapter.features.has(name)),
  };
}

/** @param {boolean} software  @returns {Promise<GPUAdapter | null>} */
async function requestAdapter(software) {
  const gpu = globalThis.navigator?.gpu;
  if (!gpu) return null;
  return gpu.requestAdapter(software ? { forceFallbackAdapter: true } : { powerPreference: "high-performance" });
}

/** Why `adapters` may have found nothing, for the error message. */
export function whyNoAdapter() {
  if (!globalThis.isSecureContext) return "this page is not a secure context (https or localhost), so WebGPU is off";
  if (!globalThis.navigator?.gpu) return "this browser has no WebGPU here (navigator.gpu is missing)";
  return "navigator.gpu.requestAdapter() gave no adapter";
}

/** All adapters, the best first. */
export async function adapters() {
  const found = [];
  for (const software of [false, true]) {
    const adapter = await requestAdapter(software);
    const info = adapter && describe(adapter);
    if (info && !found.some((other) => other.name === info.name)) found.push(info);
  }
  return found;
}

/**
 * Open a device with everything the adapter has.
 * @param {string | null} name  the adapter's name as `adapters` gave it, or null for the best one
 * @param {(failure: Failure) => void} onFailure  called at most once
 * @returns {Promise<Player | null>} null if there is no such adapter
 */
export async function open(name, onFailure) {
  for (const software of [false, true]) {
    const adapter = await requestAdapter(software);
    if (!adapter) continue;
    const info = describe(adapter);
    if (name && info.name !== name) continue;
    const device = await adapter.requestDevice({
      label: "webree",
      requiredFeatures: /** @type {GPUFeatureName[]} */ (info.features),
      requiredLimits: info.limits,
    });
    return new Player(device, { ...info, limits: plainLimits(device.limits) }, onFailure);
  }
  return null;
}

/** Collects commands into one GPUCommandEncoder, with compute passes as long as they can be. */
class Recorder {
  /** @param {GPUDevice} device */
  constructor(device) {
    this.encoder = device.createCommandEncoder();
    /** @type {GPUComputePassEncoder | null} */
    this.openPass = null;
  }

  get pass() {
    return (this.openPass ??= this.encoder.beginComputePass());
  }

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

/** A GPU device and its queue, with everything on it known by number. */
export class Player {
  /**
   * @param {GPUDevice} device
   * @param {ReturnType<typeof describe>} info
   * @param {(failure: Failure) => void} onFailure
   */
  constructor(device, info, onFailure) {
    this.device = device;
    this.queue = device.queue;
    this.info = info;
    this.closed = false;
    this.failed = false;
    this.lastHandle = 0;
    /** Counts destroyed buffers: replays resolved before the last one may hold a dead bind group. */
    this.epoch = 0;
    /** @type {Map<number, GPUBuffer>} */
    this.buffers = new Map();
    /** @type {Map<number, Kernel>} */
    this.kernels = new Map();
    /** @type {Map<number, Stream>} */
    this.streams = new Map();
    /** @type {Map<string, Layout>} */
    this.layouts = new Map();
    /** @type {Map<string, GPUBindGroup>} */
    this.bindGroups = new Map();
    /** Keys of `bindGroups` by buffer. @type {Map<number, string[]>} */
    this.bindGroupsOf = new Map();
    /** @type {Staging[]} */
    this.freeStaging = [];
    this.oneShotRegion = 0;
    this.constantsLayout = device.createBindGroupLayout({
      label: "constants",
      entries: [{ binding: 0, visibility: COMPUTE_STAGE, buffer: { type: "uniform", hasDynamicOffset: true } }],
    });

    /** @param {string} kind  @param {string} message  @param {number} asked */
    this.fail = (kind, message, asked = 0) => {
      if (this.failed || this.closed) return;
      this.failed = true;
      onFailure({ kind, message, asked });
    };
    device.lost.then(({ reason, message }) => this.fail("lost", message || reason || "unknown reason"));
    device.onuncapturederror = (event) => {
      event.preventDefault();
      const kind = event.error instanceof GPUOutOfMemoryError ? "out-of-memory" : "invalid";
      this.fail(kind, event.error.message);
    };
  }

  // --- Buffers ------------------------------------------------------------------------------------------------------

  /** @param {number} byteSize */
  createBuffer(byteSize) {
    return this.#newBuffer(byteSize, USAGE.STORAGE | USAGE.COPY_SRC | USAGE.COPY_DST | USAGE.INDIRECT);
  }

  /** @param {number} byteSize  @param {number} usage */
  #newBuffer(byteSize, usage) {
    this.device.pushErrorScope("out-of-memory");
    const buffer = this.device.createBuffer({ size: byteSize, usage });
    this.device.popErrorScope().then(
      (error) => error && this.fail("out-of-memory", error.message, byteSize),
      () => {}, // The device is lost, which is told elsewhere.
    );
    this.buffers.set(++this.lastHandle, buffer);
    return this.lastHandle;
  }

  /** @param {number} handle */
  destroyBuffer(handle) {
    this.buffers.get(handle)?.destroy();
    this.buffers.delete(handle);
    for (const key of this.bindGroupsOf.get(handle) ?? []) this.bindGroups.delete(key);
    this.bindGroupsOf.delete(handle);
    this.epoch++;
  }

  /** @param {number} handle  @param {number} byteOffset  @param {Uint8Array} bytes */
  writeBuffer(handle, byteOffset, bytes) {
    this.queue.writeBuffer(this.#buffer(handle), byteOffset, bytes);
  }

  /** @param {number} handle */
  #buffer(handle) {
    const buffer = this.buffers.get(handle);
    if (!buffer) throw new Error(`no buffer ${handle}`);
    return buffer;
  }

  // --- Pipelines ----------------------------------------------------------------------------------------------------

  /**
   * Start to compile, all at once.
   * @param {Shader[]} shaders
   * @param {PipelineSpec[]} specs
   * @returns {{first: number, failures: Promise<ShaderFailure[]>}} handles are first, first + 1, …
   */
  createPipelines(shaders, specs) {
    const decoder = new TextDecoder();
    const modules = shaders.map(({ label, source }) => this.#compile(label, decoder.decode(source)));
    const first = this.lastHandle + 1;
    const results = specs.map((spec) => this.#createPipeline(spec, modules[spec.shader]));
    return { first, failures: Promise.all(results).then((found) => found.flatMap((failure) => failure ?? [])) };
  }

  /** @param {string} label  @param {string} code */
  #compile(label, code) {
    this.device.pushErrorScope("validation");
    const module = this.device.createShaderModule({ label, code });
    const error = this.device.popErrorScope().catch(() => null);
    return { module, code, error };
  }

  /**
   * @param {PipelineSpec} spec
   * @param {{module: GPUShaderModule, code: string, error: Promise<GPUError | null>}} shader
   * @returns {Promise<ShaderFailure | null>}
   */
  async #createPipeline(spec, shader) {
    const layout = this.#layout(spec.readOnly, spec.hasConstants);
    /** @type {Kernel} */
    const kernel = { label: spec.label, layout, pipeline: null };
    this.kernels.set(++this.lastHandle, kernel);
    try {
      kernel.pipeline = await this.device.createComputePipelineAsync({
        label: spec.label,
        layout: layout.pipeline,
        compute: { module: shader.module, entryPoint: spec.entryPoint },
      });
      return null;
    } catch (error) {
      return this.#explain(spec, shader, error instanceof Error ? error.message : String(error));
    }
  }

  /**
   * @param {PipelineSpec} spec
   * @param {{module: GPUShaderModule, code: string, error: Promise<GPUError | null>}} shader
   * @param {string} message
   * @returns {Promise<ShaderFailure>}
   */
  async #explain(spec, shader, message) {
    const moduleError = await shader.error;
    const info = await shader.module.getCompilationInfo().catch(() => null);
    const messages = (info?.messages ?? []).map(({ lineNum, linePos, type, message: text }) => ({
      line: lineNum,
      column: linePos,
      type,
      message: text,
    }));
    return {
      label: spec.label,
      entryPoint: spec.entryPoint,
      source: shader.code,
      message: moduleError?.message ?? message,
      messages,
    };
  }

  /** @param {boolean[]} readOnly  @param {boolean} hasConstants  @returns {Layout} */
  #layout(readOnly, hasConstants) {
    const key = readOnly.map(Number).join("") + (hasConstants ? "c" : "");
    let layout = this.layouts.get(key);
    if (layout) return layout;
    const bindings = this.device.createBindGroupLayout({
      label: `bindings ${key}`,
      entries: readOnly.map((only, binding) => ({
        binding,
        visibility: COMPUTE_STAGE,
        buffer: { type: only ? "read-only-storage" : "storage" },
      })),
    });
    const bindGroupLayouts = hasConstants ? [bindings, this.constantsLayout] : [bindings];
    const pipeline = this.device.createPipelineLayout({ label: `bindings ${key}`, bindGroupLayouts });
    layout = { id: this.layouts.size, readOnly, bindings, pipeline };
    this.layouts.set(key, layout);
    return layout;
  }

  // --- Streams ------------------------------------------------------------------------------------------------------

  /** @param {Uint32Array} words  @param {Uint8Array} constants */
  loadStream(words, constants) {
    const region = constants.byteLength ? this.#newRegion(constants.byteLength) : 0;
    if (region) this.queue.writeBuffer(this.#buffer(region), 0, constants);
    this.streams.set(++this.lastHandle, { words: words.slice(), region, replays: [], epoch: this.epoch });
    return this.lastHandle;
  }

  /** @param {number} handle */
  releaseStream(handle) {
    const stream = this.streams.get(handle);
    if (stream?.region) this.destroyBuffer(stream.region);
    this.streams.delete(handle);
  }

  /** @param {number} handle  @param {Uint32Array} table */
  submitStream(handle, table) {
    const stream = this.streams.get(handle);
    if (!stream) throw new Error(`no stream ${handle}`);
    this.#play(this.#replayOf(stream, table));
  }

  /** @param {Uint32Array} words  @param {Uint8Array} constants  @param {Uint32Array} table */
  submit(words, constants, table) {
    this.#play(this.#resolve(words, this.#writeOneShot(constants), table));
  }

  /** @param {Command[]} commands */
  #play(commands) {
    const recorder = new Recorder(this.device);
    for (const command of commands) command.run(recorder);
    this.queue.submit([recorder.finish()]);
  }

  /** @param {Stream} stream  @param {Uint32Array} table  @returns {Command[]} */
  #replayOf(stream, table) {
    if (stream.epoch !== this.epoch) {
      stream.replays = [];
      stream.epoch = this.epoch;
    }
    const found = stream.replays.findIndex((replay) => replay.table.every((word, index) => word === table[index]));
    if (found === 0) return stream.replays[0].commands;
    const replay =
      found > 0
        ? stream.replays.splice(found, 1)[0]
        : { table: table.slice(), commands: this.#resolve(stream.words, stream.region, table) };
    stream.replays = [replay, ...stream.replays.slice(0, KEPT_REPLAYS - 1)];
    return replay.commands;
  }

  /** @param {number} byteSize */
  #newRegion(byteSize) {
    return this.#newBuffer(byteSize, USAGE.UNIFORM | USAGE.STORAGE | USAGE.COPY_SRC | USAGE.COPY_DST);
  }

  /** @param {Uint8Array} constants  @returns {number} the buffer that holds them now */
  #writeOneShot(constants) {
    if (!constants.byteLength) return 0;
    const size = this.oneShotRegion ? this.#buffer(this.oneShotRegion).size : 0;
    if (size < constants.byteLength) {
      if (this.oneShotRegion) this.destroyBuffer(this.oneShotRegion);
      this.oneShotRegion = this.#newRegion(powerOfTwo(constants.byteLength));
    }
    this.queue.writeBuffer(this.#buffer(this.oneShotRegion), 0, constants);
    return this.oneShotRegion;
  }

  /**
   * Turn words into commands with every buffer and bind group in its place.
   * @param {Uint32Array} words
   * @param {number} region  handle of the buffer with the stream's constants, 0 if it has none
   * @param {Uint32Array} table
   * @returns {Command[]}
   */
  #resolve(words, region, table) {
    /** Buffer, offset and size at `words[at…]`, slots replaced. @param {number} at @returns {[number, number, number]} */
    const range = (at) => {
      const [name, offset, size] = [words[at], words[at + 1], words[at + 2]];
      if (name === OWN_CONSTANTS) return [region, offset, size];
      if (name < SLOT) return [name, offset, size];
      const slot = BINDING_WORDS * (name - SLOT);
      return [table[slot], table[slot + 1] + offset, size === WHOLE ? table[slot + 2] - offset : size];
    };
    /** @type {Command[]} */
    const commands = [];
    for (let at = 0; at < words.length; ) {
      const opcode = words[at] & 0xff;
      const count = words[at] >>> 8;
      if (opcode === OPCODE.DISPATCH || opcode === OPCODE.DISPATCH_INDIRECT) {
        commands.push(this.#dispatch(words.subarray(at, at + count), region, (word) => range(at + word)));
      } else if (opcode === OPCODE.COPY) {
        const [source, sourceOffset] = range(at + 1);
        const [target, targetOffset, size] = range(at + 3);
        const [from, to] = [this.#buffer(source), this.#buffer(target)];
        const run = (/** @type {Recorder} */ recorder) =>
          recorder.copies.copyBufferToBuffer(from, sourceOffset, to, targetOffset, size);
        commands.push({ run, isDispatch: false });
      } else if (opcode === OPCODE.CLEAR) {
        const [target, offset, size] = range(at + 1);
        const buffer = this.#buffer(target);
        commands.push({ run: (recorder) => recorder.copies.clearBuffer(buffer, offset, size), isDispatch: false });
      } else {
        throw new Error(`unknown command ${words[at]} at word ${at}`);
      }
      at += count;
    }
    return commands;
  }

  /**
   * @param {Uint32Array} words  of this command alone
   * @param {number} region
   * @param {(word: number) => [number, number, number]} range
   * @returns {Command}
   */
  #dispatch(words, region, range) {
    const [header, pipelineHandle, x, y, z, constantsOffset, constantsSize] = words;
    const kernel = this.kernels.get(pipelineHandle);
    if (!kernel?.pipeline) throw new Error(`no pipeline ${pipelineHandle} (${kernel?.label ?? "never created"})`);
    const { pipeline, layout } = kernel;
    const ranges = [];
    for (let word = DISPATCH_HEADER_WORDS; word < words.length; word += BINDING_WORDS) ranges.push(range(word));
    const bindings = this.#bindGroup(layout.id, layout.bindings, ranges);
    const constants = constantsSize
      ? this.#bindGroup(-1, this.constantsLayout, [[region, 0, constantsSize]])
      : null;
    const [indirectName, indirectOffset] = (header & 0xff) === OPCODE.DISPATCH_INDIRECT ? range(2) : [0, 0];
    const indirect = indirectName ? this.#buffer(indirectName) : null;

    const run = (/** @type {Recorder} */ recorder) => {
      const pass = recorder.pass;
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bindings);
      if (constants) pass.setBindGroup(1, constants, [constantsOffset]);
      if (indirect) pass.dispatchWorkgroupsIndirect(indirect, indirectOffset);
      else pass.dispatchWorkgroups(x, y, z);
    };
    return { run, isDispatch: true };
  }

  /**
   * @param {number} layoutId
   * @param {GPUBindGroupLayout} layout
   * @param {[number, number, number][]} ranges  buffer, offset, size
   */
  #bindGroup(layoutId, layout, ranges) {
    const key = `${layoutId}:${ranges.join(":")}`;
    let group = this.bindGroups.get(key);
    if (group) return group;
    group = this.device.createBindGroup({
      layout,
      entries: ranges.map(([handle, offset, size], binding) => ({
        binding,
        resource: { buffer: this.#buffer(handle), offset, size },
      })),
    });
    if (this.bindGroups.size >= KEPT_BIND_GROUPS) {
      this.bindGroups.clear();
      this.bindGroupsOf.clear();
    }
    this.bindGroups.set(key, group);
    for (const handle of new Set(ranges.map(([name]) => name))) {
      const keys = this.bindGroupsOf.get(handle);
      if (keys) keys.push(key);
      else this.bindGroupsOf.set(handle, [key]);
    }
    return group;
  }

  // --- Reading back -------------------------------------------------------------------------------------------------

  /**
   * Copy ranges to memory of JavaScript's own, with one copy buffer and one map.
   * @param {Uint32Array} ranges  three words each: buffer, offset, size
   * @returns {Promise<Uint8Array[]>}
   */
  async readBack(ranges) {
    let total = 0;
    for (let at = 0; at < ranges.length; at += BINDING_WORDS) total += ranges[at + 2];
    const sizes = [];
    const staging = this.#takeStaging(total);
    const encoder = this.device.createCommandEncoder();
    for (let at = 0, end = 0; at < ranges.length; at += BINDING_WORDS) {
      const size = ranges[at + 2];
      if (size) encoder.copyBufferToBuffer(this.#buffer(ranges[at]), ranges[at + 1], staging.buffer, end, size);
      sizes.push(size);
      end += size;
    }
    this.queue.submit([encoder.finish()]);
    const bytes = await this.#takeMapped(staging, total);
    let end = 0;
    return sizes.map((size) => bytes.subarray(end, (end += size)));
  }

  /** Map, copy out, unmap and keep the buffer for later. @param {Staging} staging  @param {number} byteLength */
  async #takeMapped(staging, byteLength) {
    try {
      await staging.buffer.mapAsync(1 /* GPUMapMode.READ */, 0, byteLength);
    } catch (error) {
      staging.buffer.destroy();
      // Let the events of a lost device or a rejected command arrive first: they say why. A loss may be told later than
      // the maps that it ends.
      await Promise.race([this.device.lost, new Promise((resolve) => setTimeout(resolve, LOSS_DELAY_MS))]);
      throw error;
    }
    const bytes = new Uint8Array(staging.buffer.getMappedRange(0, byteLength).slice(0));
    staging.buffer.unmap();
    if (this.freeStaging.length < KEPT_STAGING_BUFFERS && !this.closed) this.freeStaging.push(staging);
    else staging.buffer.destroy();
    return bytes;
  }

  /** @param {number} byteSize  @returns {Staging} */
  #takeStaging(byteSize) {
    const found = this.freeStaging.findIndex((staging) => staging.byteSize >= byteSize);
    if (found >= 0) return this.freeStaging.splice(found, 1)[0];
    const size = powerOfTwo(byteSize);
    this.device.pushErrorScope("out-of-memory");
    const buffer = this.device.createBuffer({ label: "read-back", size, usage: USAGE.MAP_READ | USAGE.COPY_DST });
    this.device.popErrorScope().then(
      (error) => error && this.fail("out-of-memory", error.message, size),
      () => {},
    );
    this.freeStaging.shift()?.buffer.destroy(); // The kept ones were all too small.
    return { buffer, byteSize: size };
  }

  // --- Profiling ----------------------------------------------------------------------------------------------------

  /**
   * Run a stream once with every dispatch timed by itself.
   * @param {Uint32Array} words  @param {Uint8Array} constants  @param {Uint32Array} table
   * @returns {Promise<Float64Array>} µs, one a dispatch
   */
  async profile(words, constants, table) {
    const commands = this.#resolve(words, this.#writeOneShot(constants), table);
    const times = this.device.features.has("timestamp-query")
      ? await this.#timeByQueries(commands)
      : await this.#timeByWaiting(commands);
    return Float64Array.from(times);
  }

  /** @param {Command[]} commands */
  async #timeByQueries(commands) {
    /** @type {number[]} */
    const times = [];
    for (let start = 0; start < commands.length; start += QUERIES_PER_SET / 2) {
      const part = commands.slice(start, start + QUERIES_PER_SET / 2);
      const count = 2 * part.filter((command) => command.isDispatch).length;
      const querySet = this.device.createQuerySet({ type: "timestamp", count: Math.max(2, count) });
      const resolved = this.device.createBuffer({
        size: 8 * Math.max(2, count),
        usage: USAGE.QUERY_RESOLVE | USAGE.COPY_SRC,
      });
      const recorder = new Recorder(this.device);
      let query = 0;
      for (const command of part) {
        if (command.isDispatch) {
          recorder.openPass = recorder.encoder.beginComputePass({
            timestampWrites: { querySet, beginningOfPassWriteIndex: query++, endOfPassWriteIndex: query++ },
          });
        }
        command.run(recorder);
        recorder.endPass();
      }
      const staging = this.#takeStaging(8 * count);
      if (count) {
        recorder.encoder.resolveQuerySet(querySet, 0, count, resolved, 0);
        recorder.encoder.copyBufferToBuffer(resolved, 0, staging.buffer, 0, 8 * count);
      }
      this.queue.submit([recorder.finish()]);
      const stamps = new BigUint64Array((await this.#takeMapped(staging, 8 * count)).buffer);
      for (let at = 0; at < count; at += 2) times.push(Number(stamps[at + 1] - stamps[at]) / 1000);
      querySet.destroy();
      resolved.destroy();
    }
    return times;
  }

  /** @param {Command[]} commands */
  async #timeByWaiting(commands) {
    /** @type {number[]} */
    const times = [];
    await this.queue.onSubmittedWorkDone();
    for (const command of commands) {
      const start = performance.now();
      this.#play([command]);
      if (!command.isDispatch) continue;
      await this.queue.onSubmittedWorkDone();
      times.push(1000 * (performance.now() - start));
    }
    return times;
  }

  // --- End ----------------------------------------------------------------------------------------------------------

  /** Free everything. */
  destroy() {
    this.closed = true;
    for (const buffer of this.buffers.values()) buffer.destroy();
    for (const staging of this.freeStaging) staging.buffer.destroy();
    for (const map of [this.buffers, this.kernels, this.streams, this.layouts, this.bindGroups, this.bindGroupsOf]) {
      map.clear();
    }
    this.device.destroy();
  }
}
