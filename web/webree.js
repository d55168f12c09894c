/**
 * webree on a web page: run compiled models on WebGPU or the CPU, with Python in a worker.
 *
 *     import * as webree from "./webree.js";
 *     const model = await webree.load("model.vmfb", { onProgress: ({ stage, loaded, total }) => … });
 *     const [scores] = await model.call("main", [new Float32Array(…)]);
 *
 * Types and documentation: webree.d.ts. Everything is loaded relative to this file unless `configure` says otherwise.
 *
 * @typedef {(progress: {stage: string, loaded: number, total: number}) => void} OnProgress
 */

/** An error from Python: `kind` is its class (`ModuleError`, `InvocationError`, `DeviceError`, …). */
export class WebreeError extends Error {
  /** @param {{type: string, message: string, status?: number, expected?: boolean, trace?: string}} description */
  constructor({ type, message, status = 2, expected = false, trace = "" }) {
    super(message);
    this.name = type;
    this.kind = type;
    this.status = status;
    this.expected = expected;
    this.trace = trace;
  }
}

const settings = {
  workerUrl: new URL("worker.js", import.meta.url).href,
  pyodideUrl: new URL("pyodide/", import.meta.url).href,
  wheelUrl: "",
  jspi: true,
  threads: 0,
};

/** A worker with Python in it, and the requests it has not answered yet. */
class Runtime {
  constructor() {
    this.worker = new Worker(settings.workerUrl, { type: "module", name: "webree" });
    this.lastId = 0;
    /** @type {Map<number, {resolve: (value: any) => void, reject: (reason: Error) => void}>} */
    this.waiting = new Map();
    /** @type {Set<OnProgress>} */
    this.listeners = new Set();
    this.worker.onmessage = ({ data }) => this.receive(data);
    this.worker.onerror = (event) => this.fail(event.message || "the worker could not be loaded");
    this.ready = wheelUrl().then((url) =>
      this.ask("start", { ...settings, wheelUrl: url }),
    );
  }

  /** @param {string} method  @param {any} args  @returns {Promise<any>} */
  ask(method, args) {
    const id = ++this.lastId;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, method, args });
    });
  }

  /** @param {{id?: number, result?: any, error?: any, progress?: any}} message */
  receive({ id, result, error, progress }) {
    if (progress) {
      for (const listener of this.listeners) listener(progress);
      return;
    }
    const request = this.waiting.get(/** @type {number} */ (id));
    this.waiting.delete(/** @type {number} */ (id));
    if (error) request?.reject(new WebreeError(error));
    else request?.resolve(result);
  }

  /** @param {string} message */
  fail(message) {
    for (const { reject } of this.waiting.values()) {
      reject(new WebreeError({ type: "Error", message }));
    }
    this.waiting.clear();
  }
}

/** @type {Runtime | null} */
let shared = null;

const runtime = () => (shared ??= new Runtime());

/** The wheel's address: as configured, else as site.json beside this file says. */
async function wheelUrl() {
  if (settings.wheelUrl) return settings.wheelUrl;
  const response = await fetch(new URL("site.json", import.meta.url));
  if (!response.ok) throw new Error("site.json is missing beside webree.js: make the site with `webree bundle`");
  return new URL((await response.json()).wheel, import.meta.url).href;
}

/** Where the parts are, if not beside this file. Call it before anything else. */
export function configure(/** @type {Partial<typeof settings>} */ options) {
  Object.assign(settings, options);
}

/** Start Python in the worker now, so that the first load is faster. */
export async function start(/** @type {{onProgress?: OnProgress}} */ { onProgress } = {}) {
  await listening(onProgress, () => runtime().ready);
}

/** A model on a device. */
export class Module {
  /** @type {Runtime} */ #runtime;
  /** @type {number} */ #number;

  /** @param {Runtime} owner  @param {any} description */
  constructor(owner, { module, name, functions, adapter, deviceReason, timeMs }) {
    this.#runtime = owner;
    this.#number = module;
    this.name = name;
    this.functions = functions;
    this.adapter = adapter;
    this.deviceReason = deviceReason;
    this.loadTimeMs = timeMs;
    this.callTimeMs = NaN;
  }

  /** @param {string} name  @param {any[]} inputs  @returns {Promise<any[]>} */
  async call(name, inputs) {
    const { outputs, timeMs } = await this.#runtime.ask("call", { module: this.#number, function: name, inputs });
    this.callTimeMs = timeMs;
    return outputs;
  }

  /** @param {(string | URL)[]} urls  Python files and data; the first defines `answer` */
  async useProgram(urls) {
    const named = urls.map((url) => new URL(url, location.href));
    const nameOf = (/** @type {URL} */ url) => decodeURIComponent(url.pathname.split("/").at(-1) ?? "");
    const entries = await Promise.all(named.map(async (url) => [nameOf(url), await fetchBytes(url)]));
    const files = Object.fromEntries(entries);
    await this.#runtime.ask("program", { module: this.#number, entry: nameOf(named[0]), files });
  }

  /** @param {Blob} file  @param {string} [name] */
  answer(file, name = file instanceof File ? file.name : "") {
    return this.#runtime.ask("answer", { module: this.#number, file, name });
  }

  async close() {
    await this.#runtime.ask("close", { module: this.#number });
  }
}

/** Load a module from a URL, a buffer or a file, and make it ready to be called. */
export async function load(
  /** @type {string | URL | ArrayBuffer | Uint8Array | Blob} */ source,
  /** @type {{onProgress?: OnProgress, device?: string, parameters?: any}} */ { onProgress, device, parameters } = {},
) {
  let from = source;
  if (source instanceof Blob) from = await source.arrayBuffer();
  else if (typeof source === "string" || source instanceof URL) from = new URL(source, location.href).href;
  return listening(onProgress, async () => {
    const owner = runtime();
    await owner.ready;
    const wanted = { source: from, device: device ?? "auto", parameters: parameters ?? undefined };
    return new Module(owner, await owner.ask("load", wanted));
  });
}

/** Adapters that this browser offers, the best first. */
export async function devices() {
  await runtime().ready;
  return runtime().ask("devices", {});
}

/** Run Python text in the worker. */
export async function runPython(/** @type {string} */ code, /** @type {Record<string, any>} */ inputs = {}) {
  await runtime().ready;
  return runtime().ask("python", { code, inputs });
}

/** End the worker and free everything in it; the next call starts a new one. */
export function stop() {
  shared?.worker.terminate();
  shared?.fail("webree was stopped");
  shared = null;
}

/** @param {URL} url */
async function fetchBytes(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`cannot fetch ${url}: the server answered ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

/**
 * @template T
 * @param {OnProgress | undefined} listener
 * @param {() => Promise<T>} action
 * @returns {Promise<T>}
 */
async function listening(listener, action) {
  const { listeners } = runtime();
  if (listener) listeners.add(listener);
  try {
    return await action();
  } finally {
    if (listener) listeners.delete(listener);
  }
}
