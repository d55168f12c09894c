/**
 * webree on a web page: run compiled models on WebGPU, with Python in a worker.
 *
 *     import * as webree from "./webree.js";
 *     const model = await webree.load("model.vmfb", { onProgress: ({ stage, loaded, total }) => … });
 *     const [scores] = await model.call("main", [new Float32Array(…)]);
 *
 * Types and documentation: webree.d.ts. Everything is loaded relative to this file unless `configure` says otherwise.
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
};

/** A worker with Python in it, and the requests it has not answered yet. */
class Runtime {
  constructor() {
    this.worker = new Worker(settings.workerUrl, { type: "module", name: "webree" });
    this.lastId = 0;
    /** @type {Map<number, {resolve: (value: any) => void, reject: (reason: Error) => void}>} */
    this.waiting = new Map();
    /** @type {Set<(progress: {stage: string, loaded: number, total: number}) => void>} */
    this.listeners = new Set();
    this.worker.onmessage = ({ data }) => this.receive(data);
    this.worker.onerror = (event) => this.fail(event.message || "the worker could not be loaded");
    this.ready = wheelUrl().then((url) =>
      this.ask("start", { pyodideUrl: settings.pyodideUrl, wheelUrl: url, jspi: settings.jspi }),
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
export async function start() {
  await runtime().ready;
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
