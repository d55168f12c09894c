/**
 * The CPU device's engine in a browser: one memory, libraries linked into it, and threads that play command streams.
 *
 * Enters: calls of browser.py, with numbers and typed arrays only. Leaves: results in the memory, copies of its ranges,
 * and one call of `onFailure` for what went wrong behind the caller's back. Everything acts in the order of the calls.
 *
 * Where the page is cross-origin isolated the memory is shared and workers play; this thread only queues, and never
 * waits. Elsewhere this thread plays at once. Worker 0 leads, and it alone is told of streams: the others sit inside
 * WebAssembly and wake through the memory.
 *
 * @import { Addresses, Failure, Placed, Start } from "./thread.js"
 * @import { Message, Reply } from "./worker.js"
 * @typedef {{threads: number, byteLength: number, player: Uint8Array<ArrayBuffer>, libm: Uint8Array<ArrayBuffer>,
 *     addresses: Addresses, stackPointers: number[], initial: [number, Uint8Array][], workerUrl: string,
 *     onFailure: (failure: Failure | null, message: string) => void}} Options  threads: 0 plays on this thread
 * @typedef {{words?: Uint32Array, run?: () => any, resolve: (value: any) => void, reject: (error: Error) => void}} Step
 */
import { HOST_MATH, Thread } from "./thread.js";

const PAGE_BYTES = 65536;
const MAXIMUM_PAGES = [65535, 32768, 16384, 8192]; // Not every system reserves 4 GiB of addresses.
const [GENERATION, QUIT] = [0, 1]; // Words of the control block; see player.wat.
const GENERATION_STEP = 2; // An odd one stands for an open stream.
const EXPLANATION_MS = 200;

/** A new memory. @param {number} byteLength  @param {boolean} shared */
function createMemory(byteLength, shared) {
  for (const maximum of MAXIMUM_PAGES) {
    try {
      return new WebAssembly.Memory({ initial: Math.ceil(byteLength / PAGE_BYTES), maximum, shared });
    } catch (error) {
      if (maximum === MAXIMUM_PAGES.at(-1)) throw error;
    }
  }
  throw new RangeError();
}

/** How many workers may play, and if none, why. */
export function threadsHere() {
  if (typeof SharedArrayBuffer === "undefined" || !globalThis.crossOriginIsolated) {
    return { count: 0, why: "the page is not cross-origin isolated, so memory cannot be shared" };
  }
  if (typeof Worker === "undefined") return { count: 0, why: "this browser starts no workers here" };
  return { count: navigator.hardwareConcurrency || 1, why: "" };
}

/** An engine that is ready. @param {Options} options */
export async function open(options) {
  const [player, libm] = await Promise.all([options.player, options.libm].map((file) => WebAssembly.compile(file)));
  const engine = new Engine(options, player, libm);
  if (options.threads) await engine.startWorkers();
  else engine.startHere();
  return engine;
}

/** An engine that plays on this thread and never needs to wait. @param {Options} options */
export function openHere(options) {
  const engine = new Engine(options, new WebAssembly.Module(options.player), new WebAssembly.Module(options.libm));
  engine.startHere();
  return engine;
}

class Engine {
  /** @type {Thread | null} */ #thread = null;
  /** @type {Worker[]} */ #workers = [];
  /** Asked for, and not begun. @type {Step[]} */ #waiting = [];
  /** Told to worker 0. @type {Step[]} */ #playing = [];
  /** A step is under way that takes time. */ #busy = false;
  #failed = false;
  /** @type {((reply: Reply) => void) | null} */ #gathering = null;

  /** @param {Options} options  @param {WebAssembly.Module} player  @param {WebAssembly.Module} libm */
  constructor(options, player, libm) {
    this.options = options;
    this.memory = createMemory(options.byteLength, options.threads > 0);
    for (const [address, bytes] of options.initial) this.bytes(address, bytes.length).set(bytes);
    this.start = { memory: this.memory, player, libm, addresses: options.addresses };
    /** What libraries may import. */
    this.functions = [...Object.keys(HOST_MATH), ...WebAssembly.Module.exports(libm).map(({ name }) => name)];
  }

  get byteLength() {
    return this.memory.buffer.byteLength;
  }

  get isIdle() {
    return !(this.#waiting.length || this.#playing.length || this.#busy);
  }

  /** A view, which growth may end. @param {number} address  @param {number} length */
  bytes(address, length) {
    return new Uint8Array(this.memory.buffer, address, length);
  }

  /** The new length. Throws RangeError if there is no memory. @param {number} byteLength */
  grow(byteLength) {
    const pages = Math.ceil((byteLength - this.byteLength) / PAGE_BYTES);
    if (pages > 0) this.memory.grow(pages);
    return this.byteLength;
  }

  /** @param {number} address  @param {Uint8Array} bytes  they may be reused on return */
  write(address, bytes) {
    if (this.isIdle) {
      this.bytes(address, bytes.length).set(bytes);
      return;
    }
    const kept = bytes.slice();
    this.#enqueue({ run: () => this.bytes(address, kept.length).set(kept) });
  }

  /** Copies of ranges. @param {Uint32Array} ranges  two words each: address, length  @returns {Promise<Uint8Array[]>} */
  read(ranges) {
    const wanted = ranges.slice();
    return this.#enqueue({ run: () => this.readHere(wanted) });
  }

  /** The same at once, for an engine on this thread. @param {Uint32Array} ranges  @returns {Uint8Array[]} */
  readHere(ranges) {
    const found = [];
    for (let at = 0; at < ranges.length; at += 2) found.push(this.bytes(ranges[at], ranges[at + 1]).slice());
    return found;
  }

  /** Play; the time it took in ms. @param {Uint32Array} words  @returns {Promise<number>} */
  submit(words) {
    return this.#enqueue({ words: words.slice() });
  }

  /** Resolved when all so far is done. */
  idle() {
    return this.#enqueue({ run: () => {} });
  }

  /**
   * Compile and link. The promise is rejected with what the browser says against it.
   * @param {Uint8Array<ArrayBuffer>} file
   * @param {Omit<Placed, "module">} place
   */
  async load(file, place) {
    const module = await WebAssembly.compile(file);
    await this.#enqueue({ run: () => this.#link({ ...place, module }) });
  }

  /** The same at once, for an engine on this thread. @param {Uint8Array<ArrayBuffer>} file  @param {Omit<Placed, "module">} place */
  loadHere(file, place) {
    this.#thread?.link({ ...place, module: new WebAssembly.Module(file) });
  }

  /** @param {number} identifier */
  unload(identifier) {
    const run = () => {
      this.#thread?.unlink(identifier);
      for (const worker of this.#workers) post(worker, { unlink: identifier });
    };
    this.#enqueue({ run });
  }

  close() {
    this.#end(new Error("the device was closed"));
  }

  startHere() {
    this.#thread = new Thread({ ...this.start, index: 0, count: 1, stackPointer: this.options.stackPointers[0] });
  }

  async startWorkers() {
    const { stackPointers, threads, workerUrl } = this.options;
    this.#workers = Array.from({ length: threads }, (_, index) => {
      const worker = new Worker(workerUrl, { type: "module", name: `webree-cpu-${index}` });
      worker.onmessage = ({ data }) => this.#receive(data);
      worker.onerror = (event) => this.fail(null, event.message || "a worker could not be started");
      return worker;
    });
    const started = this.#gather();
    this.#workers.forEach((worker, index) =>
      post(worker, { start: { ...this.start, index, count: threads, stackPointer: stackPointers[index] } }),
    );
    await started;
    this.#serve();
  }

  /** @param {Placed} placed */
  async #link(placed) {
    if (this.#thread) {
      this.#thread.link(placed);
      return;
    }
    this.#dismiss(1);
    const linked = this.#gather();
    for (const worker of this.#workers) post(worker, { link: placed });
    try {
      await linked;
    } finally {
      this.#dismiss(0);
      this.#serve();
    }
  }

  /** Have all threads but 0 leave WebAssembly, or let them stay there again. @param {0 | 1} quit */
  #dismiss(quit) {
    const control = new Int32Array(this.memory.buffer, this.options.addresses.control);
    Atomics.store(control, QUIT, quit);
    if (!quit) return;
    Atomics.add(control, GENERATION, GENERATION_STEP);
    Atomics.notify(control, GENERATION);
  }

  #serve() {
    for (const worker of this.#workers.slice(1)) post(worker, { serve: true });
  }

  /** One reply of every worker. @returns {Promise<void>} */
  #gather() {
    let missing = this.#workers.length;
    let rejected = "";
    return new Promise((resolve, reject) => {
      this.#gathering = (reply) => {
        rejected ||= reply.rejected ?? "";
        if (--missing) return;
        if (rejected) reject(new Error(rejected));
        else resolve();
      };
    });
  }

  /** @param {Reply} reply */
  #receive(reply) {
    const { done, failure, timeMs } = reply;
    if (failure?.trap && !failure.message) {
      setTimeout(() => this.fail(failure, ""), EXPLANATION_MS); // The thread that trapped says more, very soon.
    } else if (failure) {
      this.fail(failure, "");
    } else if (done === "play") {
      this.#playing.shift()?.resolve(timeMs);
      this.#pump();
    } else {
      this.#gathering?.(reply);
    }
  }

  /** @param {{words?: Uint32Array, run?: () => any}} step  @returns {Promise<any>} */
  #enqueue(step) {
    /** @type {Promise<any>} */
    const result = new Promise((resolve, reject) => {
      if (this.#failed) reject(new Error("the device failed or was closed"));
      else this.#waiting.push({ ...step, resolve, reject });
    });
    result.catch(() => {}); // Whoever waits for it is told; most wait for something later.
    this.#pump();
    return result;
  }

  #pump() {
    while (this.#waiting.length && !this.#busy && !this.#failed) {
      const step = this.#waiting[0];
      if (step.words && !this.#thread) {
        this.#workers[0].postMessage({ play: step.words }, [step.words.buffer]);
        this.#playing.push(step);
      } else if (this.#playing.length) {
        return;
      } else {
        this.#run(step);
      }
      this.#waiting.shift();
    }
  }

  /** @param {Step} step */
  #run({ words, run, resolve, reject }) {
    if (words && this.#thread) {
      const begin = performance.now();
      const failure = this.#thread.play(words);
      if (failure) this.fail(failure, "");
      else resolve(performance.now() - begin);
      return;
    }
    const result = run?.();
    if (!(result instanceof Promise)) {
      resolve(result);
      return;
    }
    this.#busy = true;
    const after = () => {
      this.#busy = false;
      this.#pump();
    };
    result.then(resolve, reject).then(after);
  }

  /** Give up. @param {Failure | null} failure  of a kernel; null if a worker died  @param {string} message */
  fail(failure, message) {
    if (this.#failed) return;
    this.options.onFailure(failure, message);
    this.#end(new Error(message || failure?.message || "a kernel failed"));
  }

  /** @param {Error} error */
  #end(error) {
    if (this.#failed) return;
    this.#failed = true;
    if (this.#workers.length) this.#dismiss(1); // A worker that sleeps inside WebAssembly ends late.
    for (const worker of this.#workers) worker.terminate();
    const left = [...this.#playing, ...this.#waiting];
    this.#playing = this.#waiting = this.#workers = [];
    for (const { reject } of left) reject(error);
  }
}

/** @param {Worker} worker  @param {Message} message */
function post(worker, message) {
  worker.postMessage(message);
}
