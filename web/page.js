/**
 * The page: choose a model of site.json, drop a file (or run a function with random inputs), read the answer.
 *
 * Enters: site.json as `webree bundle` writes it, and what the visitor does. Leaves: text on the page.
 */
import * as webree from "./webree.js";

/** @typedef {{name: string, module: string, program: string[]}} ModelEntry */

/** @param {string} id  @returns {any} */
const element = (id) => document.getElementById(id);
const base = new URL(".", import.meta.url);
/** Of the page's address: `?device=cpu&threads=2`. */
const options = new URLSearchParams(location.search);

const STAGES = {
  python: "Starting Python…",
  webree: "Starting webree…",
  module: "Loading the model…",
  kernels: "Compiling kernels…",
};

/** @type {webree.Module | null} */
let module = null;
/** Counts choices: an answer to an earlier one is not shown. */
let choice = 0;

/** @param {unknown} error */
function showError(error) {
  element("error").textContent = error instanceof Error ? error.message : String(error);
  element("progress").hidden = true;
  showReady();
}

/** What is loaded, or nothing. */
function showReady() {
  const kind = module?.adapter.software ? " (computes on the CPU)" : "";
  element("status").textContent = module ? `Ready on ${module.adapter.name}${kind}.` : "";
  element("device").textContent = module ? `${module.adapter.description}. ${module.deviceReason}.` : "";
}

/** @param {{stage: string, loaded: number, total: number}} progress */
function showProgress({ stage, loaded, total }) {
  const megabytes = (/** @type {number} */ bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
  const amount = total ? ` ${megabytes(loaded)} of ${megabytes(total)}` : loaded ? ` ${megabytes(loaded)}` : "";
  element("status").textContent = STAGES[/** @type {keyof typeof STAGES} */ (stage)] + amount;
  if (total) element("progress").value = loaded / total;
  else element("progress").removeAttribute("value");
}

/** @param {ModelEntry} entry */
async function choose(entry) {
  const mine = ++choice;
  element("error").textContent = "";
  element("progress").hidden = false;
  for (const id of ["ask-file", "ask-function", "answer"]) element(id).hidden = true;
  await module?.close();
  module = null;
  const device = options.get("device") ?? undefined;
  const loaded = await webree.load(new URL(entry.module, base), { onProgress: showProgress, device });
  if (entry.program.length) await loaded.useProgram(entry.program.map((path) => new URL(path, base)));
  if (mine !== choice) {
    await loaded.close();
    return;
  }
  module = loaded;
  element("progress").hidden = true;
  showReady();
  element(entry.program.length ? "ask-file" : "ask-function").hidden = false;
  element("function").replaceChildren(...Object.keys(loaded.functions).map((name) => new Option(name)));
  showSignature();
}

function showSignature() {
  element("signature").textContent = module?.functions[element("function").value]?.text ?? "";
}

/** @param {File} file */
async function ask(file) {
  const mine = ++choice;
  element("error").textContent = "";
  element("status").textContent = `Reading ${file.name}…`;
  const { answer, timeMs } = await /** @type {webree.Module} */ (module).answer(file);
  if (mine !== choice) return;
  const { title, rows = [] } = /** @type {{title: string, rows?: [string, number][]}} */ (answer);
  showReady();
  element("title").textContent = `${file.name}: ${title}`;
  element("rows").replaceChildren(...rows.map(([label, score]) => row(label, score)));
  element("time").textContent = `${timeMs.toFixed(0)} ms`;
  element("answer").hidden = false;
}

/** @param {string} label  @param {number} score */
function row(label, score) {
  const line = document.createElement("tr");
  const [name, bar, number] = ["th", "td", "td"].map((tag) => document.createElement(tag));
  name.setAttribute("scope", "row");
  name.textContent = label;
  const meter = document.createElement("meter");
  meter.value = score;
  meter.setAttribute("aria-hidden", "true");
  bar.append(meter);
  number.className = "number";
  number.textContent = `${(100 * score).toFixed(2)} %`;
  line.append(name, bar, number);
  return line;
}

const ARRAYS = {
  bool: Uint8Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  float32: Float32Array,
  float64: Float64Array,
};

/** Random elements between 0 and 1; integers 0 or 1. @param {webree.Parameter} parameter  @returns {webree.Input} */
function randomInput({ name, type, dtype, shape }) {
  if (shape === null) return 1;
  const kind = ARRAYS[/** @type {keyof typeof ARRAYS} */ (dtype)];
  if (!kind) throw new Error(`no random input for ${name}: ${type}`);
  const extents = shape.map((extent) => extent ?? 1);
  const data = new kind(extents.reduce((product, extent) => product * extent, 1));
  for (let index = 0; index < data.length; index++) {
    const value = Math.random();
    data[index] = data instanceof BigInt64Array || data instanceof BigUint64Array ? BigInt(Math.round(value)) : value;
  }
  return { data, shape: extents, dtype: /** @type {string} */ (dtype) };
}

async function run() {
  const name = element("function").value;
  const called = /** @type {webree.Module} */ (module);
  element("error").textContent = "";
  const outputs = await called.call(name, called.functions[name].inputs.map(randomInput));
  element("title").textContent = `${name} returned ${outputs.length} ${outputs.length === 1 ? "value" : "values"}`;
  element("rows").replaceChildren(...outputs.map(outputRow));
  element("time").textContent = `${called.callTimeMs.toFixed(1)} ms`;
  element("answer").hidden = false;
}

/** @param {webree.Tensor | number} output  @param {number} index */
function outputRow(output, index) {
  const line = document.createElement("tr");
  const [name, value] = [document.createElement("th"), document.createElement("td")];
  name.setAttribute("scope", "row");
  if (typeof output === "object") {
    name.textContent = `${output.dtype} ${output.shape.join("×")}`;
    const first = Array.from(/** @type {any} */ (output.data.slice(0, 8)), (item) => Number(item).toPrecision(6));
    value.textContent = first.join("  ") + (output.data.length > 8 ? "  …" : "");
  } else {
    name.textContent = `output ${index}`;
    value.textContent = String(output);
  }
  line.append(name, value);
  return line;
}

/** @param {DragEvent} event */
function onDrop(event) {
  event.preventDefault();
  element("drop").classList.remove("over");
  const file = event.dataTransfer?.files[0];
  if (file && module) ask(file).catch(showError);
}

async function main() {
  webree.configure({ threads: Number(options.get("threads") ?? 0) });
  const response = await fetch(new URL("site.json", base));
  if (!response.ok) throw new Error("site.json is missing: make this site with `webree bundle`");
  /** @type {{models: ModelEntry[]}} */
  const { models } = await response.json();
  element("model").replaceChildren(...models.map(({ name }) => new Option(name)));
  const chooseSelected = () => choose(models[element("model").selectedIndex]).catch(showError);

  element("model").addEventListener("change", chooseSelected);
  element("function").addEventListener("change", showSignature);
  element("run").addEventListener("click", () => run().catch(showError));
  element("file").addEventListener("change", () => {
    const file = element("file").files[0];
    if (file && module) ask(file).catch(showError);
  });
  element("drop").addEventListener("dragover", (/** @type {DragEvent} */ event) => {
    event.preventDefault();
    element("drop").classList.add("over");
  });
  element("drop").addEventListener("dragleave", () => element("drop").classList.remove("over"));
  element("drop").addEventListener("drop", onDrop);
  await chooseSelected();
}

main().catch(showError);
