"""Small kernels written in the `spirv` dialect, translated by webree's code generator and run on a real adapter.

`kernel_text` wraps a few ops into a module with one storage buffer per operand; `run_wgsl` runs any WGSL entry point
through bare wgpu-py, independent of webree's runtime.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from iree.compiler import ir

from webree.codegen_wgsl.translate import WgslShader, translate_executable

_FEATURES = ("shader-f16", "subgroup")


def translate_text(text: str, **options: Any) -> WgslShader:
    """MLIR text with `spirv.module` ops -> WGSL."""
    with ir.Context():
        return translate_executable(ir.Module.parse(text), **options)


def kernel_text(body: str, operands: Sequence[str], result: str) -> str:
    """A kernel that computes %r of type `result` from %a, %b, ... of the given types, one element per invocation."""
    types = [*operands, result]
    pointers = [
        f"!spirv.ptr<!spirv.struct<(!spirv.rtarray<{t}, stride={_stride(t)}> [0])>, StorageBuffer>" for t in types
    ]
    variables = [f"spirv.GlobalVariable @buffer{i} bind(0, {i}) : {pointer}" for i, pointer in enumerate(pointers)]
    places = [
        f"%p{i}a = spirv.mlir.addressof @buffer{i} : {pointer}\n"
        f"%p{i} = spirv.AccessChain %p{i}a[%zero, %index] : {pointer}, i32, i32 -> !spirv.ptr<{t}, StorageBuffer>"
        for i, (t, pointer) in enumerate(zip(types, pointers, strict=True))
    ]
    loads = [f'%{"abcd"[i]} = spirv.Load "StorageBuffer" %p{i} : {t}' for i, t in enumerate(operands)]
    lines = [
        *places,
        *loads,
        body.strip(),
        f'spirv.Store "StorageBuffer" %p{len(operands)}, %r : {result}',
    ]
    return module_text("\n".join(lines), variables)


def module_text(body: str, variables: Sequence[str] = (), workgroup_size: tuple[int, int, int] = (1, 1, 1)) -> str:
    """An entry point `kernel` with %zero, %one and %index (the invocation's global x) around `body`."""
    x, y, z = workgroup_size
    listed = "\n".join(variables)
    return f"""module {{
spirv.module Logical GLSL450 requires #spirv.vce<v1.3, [Shader], []> {{
  spirv.GlobalVariable @id built_in("GlobalInvocationId") : !spirv.ptr<vector<3xi32>, Input>
  {listed}
  spirv.func @kernel() "None" {{
    %zero = spirv.Constant 0 : i32
    %one = spirv.Constant 1 : i32
    %id = spirv.mlir.addressof @id : !spirv.ptr<vector<3xi32>, Input>
    %ids = spirv.Load "Input" %id : vector<3xi32>
    %index = spirv.CompositeExtract %ids[0 : i32] : vector<3xi32>
    {body}
    spirv.Return
  }}
  spirv.EntryPoint "GLCompute" @kernel, @id
  spirv.ExecutionMode @kernel "LocalSize", {x}, {y}, {z}
}}
}}"""


def _stride(type_: str) -> int:
    count = int(type_[7]) if type_.startswith("vector<") else 1
    return count * (2 if "f16" in type_ else 4)


@lru_cache(maxsize=4)
def wgpu_device(adapter_part: str) -> Any:
    """A bare wgpu device on the adapter whose name contains `adapter_part`."""
    import wgpu

    for adapter in wgpu.gpu.enumerate_adapters_sync():
        if adapter_part.lower() in f"{adapter.info.device} {adapter.info.description}".lower():
            return adapter.request_device_sync(
                required_features=[name for name in _FEATURES if name in adapter.features]
            )
    raise LookupError(f"no adapter named {adapter_part}")


def run_wgsl(
    device: Any,
    shader: WgslShader,
    buffers: Sequence[np.ndarray[Any, Any]],
    workgroups: tuple[int, int, int] = (1, 1, 1),
    constants: Sequence[int] = (),
) -> list[np.ndarray[Any, Any]]:
    """Runs the first entry point with `buffers` as bindings 0, 1, ...; gives all buffers' contents afterwards."""
    import wgpu

    usage = wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_SRC
    gpu_buffers = [device.create_buffer_with_data(data=np.ascontiguousarray(data), usage=usage) for data in buffers]
    read_only = [f"@binding({i}) var<storage, read>" in shader.source for i in range(len(buffers))]
    layouts = [
        device.create_bind_group_layout(
            entries=[
                {
                    "binding": i,
                    "visibility": wgpu.ShaderStage.COMPUTE,
                    "buffer": {"type": "read-only-storage" if read_only[i] else "storage"},
                }
                for i in range(len(buffers))
            ]
        )
    ]
    groups = [_bind_group(device, layouts[0], gpu_buffers)]
    if constants:
        words = np.zeros((len(constants) + 3) // 4 * 4, np.uint32)
        words[: len(constants)] = constants
        uniform = device.create_buffer_with_data(data=words, usage=wgpu.BufferUsage.UNIFORM)
        entry = {"binding": 0, "visibility": wgpu.ShaderStage.COMPUTE, "buffer": {"type": "uniform"}}
        layouts.append(device.create_bind_group_layout(entries=[entry]))
        groups.append(_bind_group(device, layouts[1], [uniform]))
    module = device.create_shader_module(code=shader.source)
    pipeline = device.create_compute_pipeline(
        layout=device.create_pipeline_layout(bind_group_layouts=layouts),
        compute={"module": module, "entry_point": shader.exports[0].entry_point},
    )
    encoder = device.create_command_encoder()
    compute = encoder.begin_compute_pass()
    compute.set_pipeline(pipeline)
    for number, group in enumerate(groups):
        compute.set_bind_group(number, group)
    compute.dispatch_workgroups(*workgroups)
    compute.end()
    device.queue.submit([encoder.finish()])
    return [
        np.frombuffer(device.queue.read_buffer(buffer), data.dtype)[: data.size].reshape(data.shape)
        for buffer, data in zip(gpu_buffers, buffers, strict=True)
    ]


def _bind_group(device: Any, layout: Any, buffers: Sequence[Any]) -> Any:
    entries = [
        {"binding": i, "resource": {"buffer": buffer, "offset": 0, "size": buffer.size}}
        for i, buffer in enumerate(buffers)
    ]
    return device.create_bind_group(layout=layout, entries=entries)
