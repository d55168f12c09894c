/** webree on a web page: run compiled models on WebGPU or the CPU, with Python in a worker. */

export type TypedArray =
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array
  | Float32Array
  | Float64Array;

/** A tensor: elements in row-major order. bool is a Uint8Array; float16 a Float16Array, in older browsers a
 *  Uint16Array of its bits. */
export interface Tensor {
  data: TypedArray;
  shape: number[];
  /** NumPy's name: float32, int64, bool, … */
  dtype: string;
}

/** What `call` takes: a typed array alone has the shape that the function declares (at most one dynamic dimension). */
export type Input = TypedArray | ArrayBuffer | { data: TypedArray; shape: number[]; dtype?: string } | number | Input[];

export interface Parameter {
  name: string;
  /** As in the module: `1x3x224x224xf32`, `i64`, … */
  type: string;
  /** NumPy's name, null for what is not a tensor. */
  dtype: string | null;
  /** null stands for a dynamic dimension. */
  shape: (number | null)[] | null;
}

export interface FunctionSignature {
  text: string;
  inputs: Parameter[];
  outputs: Parameter[];
}

export interface Progress {
  /** python: the interpreter starts; webree: the runtime; module: its file is fetched; kernels: they are compiled. */
  stage: "python" | "webree" | "module" | "kernels";
  /** Bytes so far. */
  loaded: number;
  /** Bytes in all, 0 if unknown. */
  total: number;
}

export interface Adapter {
  /** webgpu or cpu. */
  driver: string;
  name: string;
  description: string;
  /** It computes on the CPU. */
  software: boolean;
  limits: Record<string, number>;
  features: string[];
}

/** A model on a device. */
export class Module {
  readonly name: string;
  readonly functions: Record<string, FunctionSignature>;
  readonly adapter: Pick<Adapter, "driver" | "name" | "description" | "software">;
  /** Why that one was taken, for people. */
  readonly deviceReason: string;
  /** ms that loading took in the worker. */
  readonly loadTimeMs: number;
  /** ms that the last call took in the worker. */
  readonly callTimeMs: number;
  /** Call a function. Throws `WebreeError` of kind InvocationError for wrong inputs, DeviceError if the device fails. */
  call(name: string, inputs: Input[]): Promise<(Tensor | number)[]>;
  /**
   * Give the module the Python program around it (what makes inputs of a file, and an answer of outputs): URLs of
   * Python files and data, all put into one folder. The first defines `async def answer(module, file, name)`, `file` having
   * `size` and `read(byte_offset, byte_length)`, and returns plain values.
   */
  useProgram(urls: (string | URL)[]): Promise<void>;
  /** What the program says about a file; only what it reads of the file is read. */
  answer(file: Blob, name?: string): Promise<{ answer: unknown; timeMs: number }>;
  /** Free its memory on the device. */
  close(): Promise<void>;
}

/** An error from Python. */
export class WebreeError extends Error {
  /** Its class there: ModuleError, InvocationError, DeviceError, …; Error if Python could not be started. */
  readonly kind: string;
  /** IREE's status code. */
  readonly status: number;
  /** False for a fault of the program rather than of its input. */
  readonly expected: boolean;
  /** Python's traceback. */
  readonly trace: string;
}

/** Where the parts are, if not beside webree.js. Call it before anything else. */
export function configure(options: {
  /** web/worker.js */
  workerUrl?: string;
  /** Folder with Pyodide's files, with a final slash; may be a CDN's. */
  pyodideUrl?: string;
  /** webree's wheel; without it site.json beside webree.js names it. */
  wheelUrl?: string;
  /** false: as in a browser without JSPI. */
  jspi?: boolean;
  /** Threads of the CPU device; without it as many as the machine has. One where the page is not cross-origin isolated. */
  threads?: number;
}): void;

/** Start Python in the worker now, so that the first load is faster. */
export function start(options?: { onProgress?: (progress: Progress) => void }): Promise<void>;

/** Load a module from a URL, a buffer or a file, and make it ready to be called. */
export function load(
  source: string | URL | ArrayBuffer | Uint8Array | Blob,
  options?: {
    onProgress?: (progress: Progress) => void;
    /** auto (the best that the module has code for), webgpu, cpu, or a part of an adapter's name. */
    device?: string;
    /** Files with weights that were kept out of the module: a URL, or a mapping from parameter scope to URL. */
    parameters?: string | Record<string, string>;
  },
): Promise<Module>;

/** Adapters that this browser offers, the best first. */
export function devices(): Promise<Adapter[]>;

/** Run Python text in the worker; `inputs` become globals. The value of the last expression. */
export function runPython(code: string, inputs?: Record<string, unknown>): Promise<unknown>;

/** End the worker and free everything in it; the next call starts a new one. */
export function stop(): void;
