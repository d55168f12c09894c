// Plays recorded dispatches of WebAssembly kernels and times them; see kernels_node.py.
// node kernels_node.mjs FOLDER REPETITIONS TOP [FOLDER_OF_ORT MODEL]
import {readFileSync, readdirSync} from "node:fs";
import {join} from "node:path";
import {pathToFileURL} from "node:url";

const [folder, repetitions, top, ortFolder, model] = process.argv.slice(2);
const PAGE = 65536;
const now = () => {
    const {user, system} = process.cpuUsage();
    return (user + system) / 1000;
};

function best(action) {
    let least = Infinity;
    for (let run = 0; run < repetitions; run++) {
        const start = now();
        action();
        least = Math.min(least, now() - start);
    }
    return least;
}

// The kernels' own copies of these would be imported from the device; only their time counts here.
const MATH = {
    fmaxf: Math.max, fminf: Math.min, fmodf: (a, b) => a % b, roundf: Math.round, rintf: Math.round,
    log10f: Math.log10, fmax: Math.max, fmin: Math.min, fmod: (a, b) => a % b,
};

const dispatches = JSON.parse(readFileSync(join(folder, "dispatches.json"), "utf8"));
let end = PAGE;
const place = (length) => {
    const address = (end + 63) & ~63;
    end = address + length;
    return address;
};
const sizes = new Map();
for (const {buffers, offsets, lengths} of dispatches) {
    buffers.forEach((name, index) =>
        sizes.set(name, Math.max(sizes.get(name) ?? 0, offsets[index] + lengths[index])));
}
const addresses = new Map([...sizes].map(([name, size]) => [name, place(size)]));
const scratch = place(PAGE);
const local = place(16 * PAGE);
const stack = place(16 * PAGE) + 16 * PAGE;
const files = readdirSync(folder).filter((name) => name.endsWith(".wasm"));
const bases = files.map(() => place(64 * PAGE));
const memory = new WebAssembly.Memory({initial: Math.ceil(end / PAGE) + 1});
new Float32Array(memory.buffer, 0, scratch >> 2).forEach((_, index, all) => (all[index] = Math.sin(index) / 2));
for (const [name, size] of sizes) { // token numbers, masks: small tensors of integers most often
    if (size <= PAGE / 8) new Uint8Array(memory.buffer, addresses.get(name), size).fill(0);
}
const view = new DataView(memory.buffer);
const word = (address) => view.getUint32(address, true);
const table = new WebAssembly.Table({element: "anyfunc", initial: 4096});
const kernels = new Map();
let tableBase = 1;

files.forEach((file, index) => {
    const module = new WebAssembly.Module(readFileSync(join(folder, file)));
    const constant = (value, mutable = false) => new WebAssembly.Global({value: "i32", mutable}, value);
    const env = {
        ...MATH, memory, __indirect_function_table: table, __memory_base: constant(bases[index]),
        __table_base: constant(tableBase), __stack_pointer: constant(stack, true),
    };
    const {exports} = new WebAssembly.Instance(module, {env});
    exports.__wasm_apply_data_relocs?.();
    const library = exports.iree_hal_executable_library_query(6, scratch);
    const [count, pointers, attributes, , , names] = [12, 16, 20, 24, 28, 32].map((offset) => word(library + offset));
    for (let ordinal = 0; ordinal < count; ordinal++) {
        const start = word(names + 4 * ordinal);
        const bytes = new Uint8Array(memory.buffer, start, 512);
        const name = new TextDecoder().decode(bytes.slice(0, bytes.indexOf(0)));
        const pages = view.getUint16(attributes + 64 * ordinal + 8, true);
        kernels.set(name, [table.get(word(pointers + 4 * ordinal)), pages * 4096]);
    }
    tableBase += count + 64;
});

// Structures of IREE's executable library ABI: dispatch state (36 bytes), workgroup state (24 bytes).
function play({function: name, count, constants, buffers, offsets, lengths}) {
    const [kernel, localBytes] = kernels.get(name);
    const [state, group, values, pointers, extents] = [256, 512, 1024, 4096, 8192].map((offset) => scratch + offset);
    const set = (address, value) => view.setUint32(address, value, true);
    constants.forEach((value, index) => set(values + 4 * index, value));
    buffers.forEach((buffer, index) => {
        set(pointers + 4 * index, addresses.get(buffer) + offsets[index]);
        set(extents + 4 * index, lengths[index]);
    });
    const [x, y, z] = count;
    [1, 1, 1 | constants.length << 16, x, y, z | 1 << 16 | buffers.length << 24, values, pointers, extents]
        .forEach((value, index) => set(state + 4 * index, value));
    set(group + 16, local);
    set(group + 20, localBytes);
    for (let k = 0; k < z; k++) {
        for (let j = 0; j < y; j++) {
            for (let i = 0; i < x; i++) {
                set(group, i);
                set(group + 4, j);
                set(group + 8, k);
                const status = kernel(scratch, state, group);
                if (status !== 0) throw new Error(`${name} returns ${status}`);
            }
        }
    }
}

const times = new Map();
for (const dispatch of dispatches) play(dispatch);
for (const dispatch of dispatches) {
    const row = times.get(dispatch.function) ?? {ms: 0, calls: 0, count: dispatch.count};
    row.ms += best(() => play(dispatch));
    row.calls += 1;
    times.set(dispatch.function, row);
}
let sum = 0;
for (const {ms} of times.values()) sum += ms;
for (const [name, {ms, calls, count}] of [...times].sort((a, b) => b[1].ms - a[1].ms).slice(0, top)) {
    const extents = name.match(/(?:matmul|conv).*?_((?:\d+x)+\d+)/)?.[1].split("x").map(Number);
    const rate = extents ? (2e-6 * calls * extents.reduce((a, b) => a * b) / ms).toFixed(1) + " GFLOP/s" : "";
    console.log(`${ms.toFixed(2).padStart(9)} ms ${String(calls).padStart(3)} × ${name} [${count}] ${rate}`);
}
console.log(`${sum.toFixed(1).padStart(9)} ms in kernels, one call`);

if (ortFolder) {
    const ort = await import(pathToFileURL(join(ortFolder, "ort.wasm.min.mjs")).href);
    ort.env.wasm.numThreads = 1;
    ort.env.logLevel = "error";
    ort.env.wasm.wasmPaths = pathToFileURL(ortFolder).href + "/";
    const session = await ort.InferenceSession.create(readFileSync(model), {executionProviders: ["wasm"]});
    const arrays = {float32: Float32Array, int32: Int32Array, int64: BigInt64Array};
    const feeds = Object.fromEntries(session.inputMetadata.map(({name, type, shape}) =>
        [name, new ort.Tensor(type, new arrays[type](shape.reduce((a, b) => a * b, 1)), shape)]));
    let least = Infinity;
    for (let run = 0; run < repetitions; run++) {
        const start = now();
        await session.run(feeds);
        least = Math.min(least, now() - start);
    }
    console.log(`${least.toFixed(1).padStart(9)} ms ONNX Runtime Web, WebAssembly, one call`);
    process.exit(0);
}
