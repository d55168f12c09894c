/**
 * Compute pipelines by number, compiled in the background, all at once.
 *
 * Enters: WGSL as UTF-8 bytes, and what each pipeline binds. Leaves: kernels with explicit layouts, and for every
 * shader or pipeline that the browser rejects its messages with lines, its name and its source.
 *
 * @typedef {{label: string, source: Uint8Array}} Shader
 * @typedef {{label: string, shader: number, entryPoint: string, readOnly: boolean[], hasConstants: boolean}}
 *     PipelineSpec
 * @typedef {{module: GPUShaderModule, code: string, error: Promise<GPUError | null>}} CompiledShader
 * @typedef {{line: number, column: number, type: string, message: string}} ShaderMessage  line, column: from 1
 * @typedef {{label: string, source: string, message: string, messages: ShaderMessage[]}} ShaderFailure
 * @typedef {{id: number, bindings: GPUBindGroupLayout, pipeline: GPUPipelineLayout}} Layout
 * @typedef {{label: string, layout: Layout, pipeline: GPUComputePipeline | null}} Kernel
 */

const COMPUTE_STAGE = 4; // GPUShaderStage.COMPUTE

export class Kernels {
  /** @type {Map<number, Kernel>} */ #kernels = new Map();
  /** @type {Map<string, Layout>} */ #layouts = new Map();

  /**
   * @param {GPUDevice} device
   * @param {() => number} newHandle
   */
  constructor(device, newHandle) {
    this.device = device;
    this.newHandle = newHandle;
    /** Of group 1, the same for all kernels that have constants. */
    this.constantsLayout = device.createBindGroupLayout({
      label: "constants",
      entries: [{ binding: 0, visibility: COMPUTE_STAGE, buffer: { type: "uniform", hasDynamicOffset: true } }],
    });
  }

  /** A kernel that is compiled. @param {number} handle */
  get(handle) {
    const kernel = this.#kernels.get(handle);
    if (!kernel?.pipeline) throw new Error(`no pipeline ${handle} (${kernel?.label ?? "never created"})`);
    return { layout: kernel.layout, pipeline: kernel.pipeline };
  }

  /**
   * Start to compile.
   * @param {Shader[]} shaders
   * @param {PipelineSpec[]} specs
   * @returns {{handles: number[], failures: Promise<ShaderFailure[]>}}
   */
  create(shaders, specs) {
    const decoder = new TextDecoder();
    const compiled = shaders.map(({ label, source }) => this.#compile(label, decoder.decode(source)));
    const handles = specs.map(() => this.newHandle());
    const results = specs.map((spec, index) => this.#createPipeline(handles[index], spec, compiled[spec.shader]));
    return { handles, failures: Promise.all(results).then((found) => found.flatMap((failure) => failure ?? [])) };
  }

  clear() {
    this.#kernels.clear();
    this.#layouts.clear();
  }

  /** @param {string} label  @param {string} code  @returns {CompiledShader} */
  #compile(label, code) {
    this.device.pushErrorScope("validation");
    const module = this.device.createShaderModule({ label, code });
    const error = this.device.popErrorScope().catch(() => null);
    return { module, code, error };
  }

  /**
   * @param {number} handle
   * @param {PipelineSpec} spec
   * @param {CompiledShader} shader
   * @returns {Promise<ShaderFailure | null>}
   */
  async #createPipeline(handle, spec, shader) {
    const layout = this.#layout(spec.readOnly, spec.hasConstants);
    /** @type {Kernel} */
    const kernel = { label: spec.label, layout, pipeline: null };
    this.#kernels.set(handle, kernel);
    try {
      kernel.pipeline = await this.device.createComputePipelineAsync({
        label: spec.label,
        layout: layout.pipeline,
        compute: { module: shader.module, entryPoint: spec.entryPoint },
      });
      return null;
    } catch (error) {
      return explain(spec, shader, error instanceof Error ? error.message : String(error));
    }
  }

  /** @param {boolean[]} readOnly  @param {boolean} hasConstants  @returns {Layout} */
  #layout(readOnly, hasConstants) {
    const key = readOnly.map(Number).join("") + (hasConstants ? "c" : "");
    let layout = this.#layouts.get(key);
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
    layout = { id: this.#layouts.size, bindings, pipeline };
    this.#layouts.set(key, layout);
    return layout;
  }
}

/**
 * @param {PipelineSpec} spec
 * @param {CompiledShader} shader
 * @param {string} message
 * @returns {Promise<ShaderFailure>}
 */
async function explain(spec, shader, message) {
  const shaderError = await shader.error;
  const info = await shader.module.getCompilationInfo().catch(() => null);
  const messages = (info?.messages ?? []).map(({ lineNum, linePos, type, message: text }) => ({
    line: lineNum,
    column: linePos,
    type,
    message: text,
  }));
  return { label: spec.label, source: shader.code, message: shaderError?.message ?? message, messages };
}
