/**
 * The worker that owns Python: loads Pyodide and the webree wheel, and answers the page's requests.
 *
 * Enters: messages `{id, method, args}` from webree.js, first of all `start`. Leaves: `{id, result}`, `{id, error}`
 * with the Python error's class, text and status, and `{progress}` while something loads. What the methods do is Python:
 * webree/browser/page.py inside the wheel.
 */

/** @typedef {{pyodideUrl: string, wheelUrl: string, jspi?: boolean, threads?: number}} StartOptions */

/** @type {Promise<any> | null} */
let started = null;

/** @param {string} stage  @param {number} [loaded]  @param {number} [total] */
function report(stage, loaded = 0, total = 0) {
  postMessage({ progress: { stage, loaded, total } });
}

/** @param {StartOptions} options */
async function start({ pyodideUrl, wheelUrl, jspi = true, threads = 0 }) {
  if (!jspi) {
    // Pyodide looks for these; without them it runs as in a browser that has no JSPI.
    delete (/** @type {any} */ (WebAssembly).Suspending);
    delete (/** @type {any} */ (WebAssembly).promising);
  }
  report("python");
  const { loadPyodide } = await import(new URL("pyodide.mjs", pyodideUrl).href);
  const env = threads ? { WEBREE_CPU_THREADS: String(threads) } : {};
  const pyodide = await loadPyodide({ indexURL: pyodideUrl, packages: [], env });
  report("webree");
  await pyodide.loadPackage(wheelUrl, { checkIntegrity: false, messageCallback: () => {} });
  const page = pyodide.pyimport("webree.browser.page");
  page.connect(report);
  return page;
}

/** @param {any} result  @returns {Transferable[]} */
function buffersIn(result) {
  const found = new Set();
  /** @param {any} value */
  const visit = (value) => {
    if (ArrayBuffer.isView(value)) found.add(value.buffer);
    else if (value instanceof ArrayBuffer) found.add(value);
    else if (value && typeof value === "object") Object.values(value).forEach(visit);
  };
  visit(result);
  return [...found];
}

/** @type {any} */
const HalfArray = /** @type {any} */ (globalThis).Float16Array;

/**
 * Pyodide cannot look at a Float16Array: on the way in its bits become a Uint16Array that says what they are, on the
 * way out a tensor of float16 gets one where there are any.
 *
 * @param {any} value  @param {boolean} outwards  @returns {any}
 */
function withHalves(value, outwards) {
  if (!HalfArray || value === null || typeof value !== "object" || value instanceof ArrayBuffer) return value;
  if (value instanceof HalfArray) {
    const bits = new Uint16Array(value.buffer, value.byteOffset, value.length);
    return Object.assign(bits, { dtype: "float16" });
  }
  if (ArrayBuffer.isView(value)) return value;
  if (Array.isArray(value)) return value.map((item) => withHalves(item, outwards));
  if (Object.getPrototypeOf(value) !== Object.prototype) return value;
  if (outwards && value.dtype === "float16" && value.data instanceof Uint16Array) {
    const { buffer, byteOffset, length } = value.data;
    return { ...value, data: new HalfArray(buffer, byteOffset, length) };
  }
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withHalves(item, outwards)]));
}

self.onmessage = async ({ data: { id, method, args } }) => {
  try {
    if (method === "start") started ??= start(args);
    const page = await started;
    const answer = method === "start" ? { result: null } : withHalves(await page.answer(method, withHalves(args, false)), true);
    postMessage({ id, ...answer }, buffersIn(answer));
  } catch (error) {
    // Not Python's: Pyodide or the wheel could not be loaded.
    const message = error instanceof Error ? error.message : String(error);
    postMessage({ id, error: { type: "Error", message, status: 2, trace: "" } });
  }
};
