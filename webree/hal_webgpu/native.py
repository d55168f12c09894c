"""The native side of the WebGPU driver: `Backend` over wgpu-py (wgpu-native: Vulkan, Metal, Direct3D 12).

Enters: calls of the shared device. Leaves: calls of wgpu-py, whose errors become `DeviceError`. wgpu-py raises errors
of a call at once, in the calling thread, so error scopes are not needed here. wgpu-native compiles synchronously
(`create_compute_pipeline_async` blocks as well) but without the interpreter's lock, so a thread pool compiles in
parallel. OpenGL adapters are left out: they lack features that WebGPU promises, and repeat the Vulkan ones.

wgpu-py: https://wgpu-py.readthedocs.io/
"""

from __future__ import annotations

import os
import tempfile
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from typing import Any, NoReturn

import wgpu
from wgpu.backends.wgpu_native import lib
from wgpu.backends.wgpu_native.extras import set_instance_extras

from webree.errors import DeviceError, StatusCode
from webree.hal.device import AdapterInfo, Counters, Device
from webree.hal.driver import Driver
from webree.hal_webgpu.backend import PipelineSpec, ShaderSpec, Words
from webree.hal_webgpu.command_stream import DISPATCH, DISPATCH_INDIRECT
from webree.hal_webgpu.diagnostics import shader_error
from webree.hal_webgpu.native_replay import BindGroups, Pipeline, Resolved, Stream, encode, resolve
from webree.hal_webgpu.native_waits import CompileWait, MapWait, Staging, slices, ticks_to_us
from webree.module.source import ByteSource
from webree.waiting import Suspendable, Wait

__all__ = ["NativeBackend", "NativeDriver", "create_driver"]

NO_ADAPTER = (
    "no WebGPU adapter was found: install a Vulkan driver (Debian and Ubuntu: apt install mesa-vulkan-drivers, which "
    "has drivers for many GPUs and a software one), or point VK_ICD_FILENAMES at the driver's .json file"
)

FEATURES = {"subgroup": "subgroups", "shader-f16": "shader-f16", "timestamp-query": "timestamp-query"}
"""wgpu-native's names of the features that webree knows -> WebGPU's names."""

SOFTWARE_NAMES = ("llvmpipe", "lavapipe", "swiftshader", "softpipe", "microsoft basic render")

STORAGE_USAGE = (
    wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_SRC | wgpu.BufferUsage.COPY_DST | wgpu.BufferUsage.INDIRECT
)
CONSTANTS_USAGE = STORAGE_USAGE | wgpu.BufferUsage.UNIFORM
STAGING_USAGE = wgpu.BufferUsage.COPY_DST | wgpu.BufferUsage.MAP_READ
QUERY_USAGE = wgpu.BufferUsage.QUERY_RESOLVE | wgpu.BufferUsage.COPY_SRC

PASSES_PER_QUERY_SET = 2048
"""Two timestamps each; WebGPU allows 4,096 queries in a set."""

GL_BACKENDS = ("OpenGL", "OpenGLES")


class NativeBackend:
    """See `webree.hal_webgpu.backend.Backend`. `gpu` is the wgpu-py device."""

    def __init__(self, gpu: Any, info: AdapterInfo) -> None:
        self.info = info
        self.counters = Counters()
        self.failure: DeviceError | None = None
        self.gpu = gpu
        self._handles = count(1)
        self._buffers: dict[int, Any] = {}
        self._streams: dict[int, Stream] = {}
        self._pipelines: dict[int, Future[Pipeline]] = {}
        self._compiling: list[Future[Pipeline]] = []
        self._compiler = ThreadPoolExecutor(
            max_workers=min(8, os.cpu_count() or 1), thread_name_prefix="webree-compile"
        )
        self._layouts: dict[tuple[bool, ...], tuple[Any, Any, Any]] = {}
        self._constants_layout = self._create_layout([{"type": "uniform", "has_dynamic_offset": True}])
        self._groups = BindGroups(self._create_group)
        self._shared_constants = Stream(array("I"), self._create_gpu_buffer(4096, CONSTANTS_USAGE))
        self._staging = Staging(lambda byte_size: self._create_gpu_buffer(byte_size, STAGING_USAGE))

    # --- Buffers ----------------------------------------------------------------------------------------------------

    def create_buffer(self, byte_size: int) -> int:
        buffer = self._create_gpu_buffer(byte_size, STORAGE_USAGE)
        handle = next(self._handles)
        self._buffers[handle] = buffer
        return handle

    def destroy_buffer(self, buffer: int) -> None:
        self._groups.forget(buffer)
        for stream in self._streams.values():
            stream.forget()
        self._buffers.pop(buffer).destroy()

    def write_buffer(self, buffer: int, byte_offset: int, source: ByteSource) -> None:
        self.counters.uploaded_bytes += source.size
        with self._errors("write to a buffer"):
            self.gpu.queue.write_buffer(self._buffers[buffer], byte_offset, source.read(0, source.size))

    def read_back(self, ranges: Sequence[tuple[int, int, int]]) -> Wait:
        places, total = [], 0
        for _, _, byte_length in ranges:
            places.append((total, byte_length))
            total += byte_length
        with self._errors("read back"):
            staging = self._staging.take(total)
            encoder = self.gpu.create_command_encoder()
            for (handle, byte_offset, byte_length), (offset, _) in zip(ranges, places, strict=True):
                encoder.copy_buffer_to_buffer(self._buffers[handle], byte_offset, staging, offset, byte_length)
            self.gpu.queue.submit([encoder.finish()])
            self.counters.crossings += 1
            self.counters.read_back_bytes += total
            return self._map(staging, total, lambda data: slices(data, places))

    # --- Pipelines --------------------------------------------------------------------------------------------------

    def create_pipelines(self, shaders: Sequence[ShaderSpec], pipelines: Sequence[PipelineSpec]) -> list[int]:
        modules = [self._compiler.submit(self._create_shader, shader) for shader in shaders]
        handles = []
        for spec in pipelines:
            layouts = self._layout(spec.binding_read_only)
            shader = shaders[spec.shader]
            future = self._compiler.submit(self._create_pipeline, spec, layouts, shader, modules[spec.shader])
            handle = next(self._handles)
            self._pipelines[handle] = future
            self._compiling.append(future)
            handles.append(handle)
        self.counters.pipelines += len(pipelines)
        return handles

    def pipelines_ready(self) -> Wait | None:
        self._compiling = [future for future in self._compiling if not future.done() or future.exception() is not None]
        return CompileWait(tuple(self._compiling), self._compiled) if self._compiling else None

    def _compiled(self) -> None:
        """Every pipeline is done: raise the first failure, and forget all."""
        futures, self._compiling = self._compiling, []
        for future in futures:
            future.result()

    # --- Streams ----------------------------------------------------------------------------------------------------

    def load_stream(self, words: Words[int], constants: bytearray) -> int:
        with self._errors("load a command buffer"):
            buffer = self._create_gpu_buffer(max(16, len(constants)), CONSTANTS_USAGE)
            self._write_constants(buffer, constants)
        handle = next(self._handles)
        self._streams[handle] = Stream(words, buffer)
        return handle

    def release_stream(self, stream: int) -> None:
        self._streams.pop(stream).constants.destroy()

    def submit_stream(self, stream: int, table: Words[int]) -> None:
        with self._errors("run commands"):
            encoder = self.gpu.create_command_encoder()
            encode(encoder, self._streams[stream].resolved(table, self._resolve))
            self._submit(encoder)

    def submit(self, words: Words[int], constants: bytearray, table: Words[int]) -> None:
        with self._errors("run commands"):
            steps = self._resolve(self._one_shot(words, constants), table)
            encoder = self.gpu.create_command_encoder()
            encode(encoder, steps)
            self._submit(encoder)

    def profile(self, words: Words[int], constants: bytearray, table: Words[int]) -> Wait:
        if "timestamp-query" not in self.info.features:
            raise DeviceError(
                f"adapter {self.info.name} has no timestamp-query: it cannot time dispatches",
                status=StatusCode.UNIMPLEMENTED,
            )
        with self._errors("time dispatches"):
            steps = self._resolve(self._one_shot(words, constants), table)
            passes = sum(step[0] in (DISPATCH, DISPATCH_INDIRECT) for step in steps)
            encoder = self.gpu.create_command_encoder()
            sets = [
                self.gpu.create_query_set(type="timestamp", count=2 * min(PASSES_PER_QUERY_SET, passes - first))
                for first in range(0, passes, PASSES_PER_QUERY_SET)
            ]
            indices = iter(range(passes))

            def timestamps() -> dict[str, Any]:
                number, index = divmod(next(indices), PASSES_PER_QUERY_SET)
                return {
                    "query_set": sets[number],
                    "beginning_of_pass_write_index": 2 * index,
                    "end_of_pass_write_index": 2 * index + 1,
                }

            encode(encoder, steps, timestamps)
            return self._read_timestamps(encoder, sets, 2 * 8 * passes)

    def destroy(self) -> None:
        self.failure = DeviceError("the device was closed", status=StatusCode.FAILED_PRECONDITION)
        self._compiler.shutdown(wait=True, cancel_futures=True)
        for stream in self._streams.values():
            stream.constants.destroy()
        for buffer in (*self._buffers.values(), self._shared_constants.constants):
            buffer.destroy()
        for table in (self._buffers, self._streams, self._pipelines):
            table.clear()
        self._staging.close()
        self._groups.clear()
        self._shared_constants.constants_groups.clear()
        self.gpu = None  # Freed with its last object. Its own `destroy` would log a lost device as an error.

    # --- Inside -----------------------------------------------------------------------------------------------------

    def _submit(self, encoder: Any) -> None:
        self.gpu.queue.submit([encoder.finish()])
        self.counters.submissions += 1
        self.counters.crossings += 1

    def _one_shot(self, words: Words[int], constants: bytearray) -> Stream:
        """A stream over the shared constants buffer, which grows to the largest region it has held."""
        if self._shared_constants.constants.size < len(constants):
            self._shared_constants.constants.destroy()
            size = 1 << (len(constants) - 1).bit_length()
            self._shared_constants = Stream(array("I"), self._create_gpu_buffer(size, CONSTANTS_USAGE))
        shared = self._shared_constants
        self._write_constants(shared.constants, constants)
        stream = Stream(words, shared.constants)
        stream.constants_groups = shared.constants_groups
        return stream

    def _write_constants(self, buffer: Any, constants: bytearray) -> None:
        if constants:
            self.gpu.queue.write_buffer(buffer, 0, constants)
            self.counters.uploaded_bytes += len(constants)

    def _resolve(self, stream: Stream, table: Words[int]) -> Resolved:
        def constants_group(size: int) -> Any:
            group = stream.constants_groups.get(size)
            if group is None:
                group = self._create_group(self._constants_layout, [(stream.constants, 0, size)])
                stream.constants_groups[size] = group
            return group

        return resolve(stream, table, self._buffers, self._pipeline, self._groups, constants_group)

    def _pipeline(self, handle: int) -> Pipeline:
        return self._pipelines[handle].result()

    def _create_gpu_buffer(self, byte_size: int, usage: int) -> Any:
        try:
            return self.gpu.create_buffer(size=byte_size, usage=usage)
        except wgpu.GPUOutOfMemoryError as error:
            raise DeviceError(
                f"the GPU is out of memory: {byte_size} bytes more were asked for with "
                f"{self.counters.allocated_bytes} bytes allocated; close modules that are no longer used",
                status=StatusCode.RESOURCE_EXHAUSTED,
            ) from error
        except wgpu.GPUError as error:
            self._fail(f"create a buffer of {byte_size} bytes", error)

    def _layout(self, read_only: tuple[bool, ...]) -> tuple[Any, Any, Any]:
        """Bind group layout, pipeline layout without and with constants."""
        layouts = self._layouts.get(read_only)
        if layouts is None:
            types = ["read-only-storage" if only else "storage" for only in read_only]
            group = self._create_layout([{"type": kind} for kind in types])
            layouts = self._layouts[read_only] = (
                group,
                self.gpu.create_pipeline_layout(bind_group_layouts=[group]),
                self.gpu.create_pipeline_layout(bind_group_layouts=[group, self._constants_layout]),
            )
        return layouts

    def _create_layout(self, buffers: list[dict[str, Any]]) -> Any:
        entries = [
            {"binding": binding, "visibility": wgpu.ShaderStage.COMPUTE, "buffer": buffer}
            for binding, buffer in enumerate(buffers)
        ]
        return self.gpu.create_bind_group_layout(entries=entries)

    def _create_group(self, layout: Any, bindings: list[tuple[Any, int, int]]) -> Any:
        entries = [
            {"binding": binding, "resource": {"buffer": buffer, "offset": offset, "size": size}}
            for binding, (buffer, offset, size) in enumerate(bindings)
        ]
        return self.gpu.create_bind_group(layout=layout, entries=entries)

    def _create_shader(self, shader: ShaderSpec) -> Any:
        text = bytes(shader.source.read(0, shader.source.size)).decode()
        try:
            return self.gpu.create_shader_module(label=shader.label, code=text)
        except wgpu.GPUError as error:
            raise shader_error(shader.label, text, str(error)) from error

    def _create_pipeline(
        self, spec: PipelineSpec, layouts: tuple[Any, Any, Any], shader: ShaderSpec, module: Future[Any]
    ) -> Pipeline:
        group, plain, with_constants = layouts
        compute = {"module": module.result(), "entry_point": spec.entry_point}
        layout = with_constants if spec.has_constants else plain
        try:
            gpu = self.gpu.create_compute_pipeline(label=spec.label, layout=layout, compute=compute)
        except wgpu.GPUError as error:
            text = bytes(shader.source.read(0, shader.source.size)).decode()
            raise shader_error(spec.label, text, str(error)) from error
        return Pipeline(gpu, group)

    def _read_timestamps(self, encoder: Any, sets: list[Any], byte_size: int) -> Wait:
        if not sets:
            self._submit(encoder)
            return MapWait(_Nothing(), lambda error: [])
        queries = self._create_gpu_buffer(byte_size, QUERY_USAGE)
        staging = self._staging.take(byte_size)
        for number, query_set in enumerate(sets):
            encoder.resolve_query_set(query_set, 0, query_set.count, queries, 16 * PASSES_PER_QUERY_SET * number)
        encoder.copy_buffer_to_buffer(queries, 0, staging, 0, byte_size)
        self._submit(encoder)

        # wgpu-native gives ticks; WebGPU would give nanoseconds.
        ns_per_tick = float(lib.wgpuQueueGetTimestampPeriod(self.gpu.queue._internal))

        def finish(data: memoryview) -> list[float]:
            queries.destroy()
            return ticks_to_us(data, ns_per_tick)

        return self._map(staging, byte_size, finish)

    def _map(self, staging: Any, byte_size: int, finish: Callable[[memoryview], Any]) -> Wait:
        promise = staging.map_async("READ_NOSYNC", 0, -(-byte_size // 8) * 8)

        def mapped(error: Exception | None) -> Any:
            if self.failure is not None:
                raise self.failure
            if error is not None:
                self._fail("read back", error)
            # wgpu-native ends the process where a lost device's memory is looked at; a new buffer only raises.
            self._create_gpu_buffer(16, STAGING_USAGE).destroy()
            with self._errors("read back"):
                data = staging.read_mapped(0, byte_size)
                staging.unmap()
            self._staging.give(staging)
            return finish(data)

        return MapWait(promise, mapped)

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except wgpu.GPUError as error:
            self._fail(what, error)

    def _fail(self, what: str, error: Exception) -> NoReturn:
        """Raise wgpu-py's error as ours. A lost device stays lost: every later call raises the same."""
        text = " ".join(str(error).split())
        if "lost" in text or "destroyed" in text:
            self.failure = DeviceError(
                f"the GPU device was lost (noticed at: {what}; {text}); load the module again to use a new one",
                status=StatusCode.UNAVAILABLE,
            )
            raise self.failure from error
        memory = isinstance(error, wgpu.GPUOutOfMemoryError)
        raise DeviceError(
            f"{'the GPU is out of memory' if memory else 'the GPU library refuses'} (to {what}): {text}",
            status=StatusCode.RESOURCE_EXHAUSTED if memory else StatusCode.INTERNAL,
        ) from error


class _Nothing:
    """A promise of nothing, kept at once."""

    def sync_wait(self) -> None:
        return None

    def __await__(self) -> Iterator[Any]:
        yield from ()


class NativeDriver(Driver):
    """The driver `webgpu` outside the browser."""

    name = "webgpu"

    def adapters(self) -> Suspendable[list[AdapterInfo]]:
        yield from ()
        return [info for info, _ in _adapters()]

    def open(self, adapter: AdapterInfo | None = None) -> Suspendable[Device]:
        from webree.hal_webgpu.device import WebGpuDevice

        found = _adapters()
        if not found:
            raise DeviceError(NO_ADAPTER, status=StatusCode.UNAVAILABLE)
        if adapter is None:
            info, gpu_adapter = found[0]
        else:
            matches = [pair for pair in found if pair[0] == adapter]
            if not matches:
                names = ", ".join(info.name for info, _ in found)
                raise DeviceError(
                    f"no WebGPU adapter {adapter.name!r}; there are: {names}", status=StatusCode.NOT_FOUND
                )
            info, gpu_adapter = matches[0]
        features = [native for native, feature in FEATURES.items() if feature in info.features]
        try:
            gpu = gpu_adapter.request_device_sync(required_features=features, required_limits=gpu_adapter.limits)
        except (wgpu.GPUError, RuntimeError) as error:
            raise DeviceError(f"adapter {info.name} gives no device: {error}") from error
        device: Device = yield from WebGpuDevice.open(NativeBackend(gpu, info))
        return device


def create_driver() -> Driver:
    """For webree.hal.registry."""
    return NativeDriver()


_instance_lock = threading.Lock()
_instance_made = False


def _adapters() -> list[tuple[AdapterInfo, Any]]:
    """All adapters, hardware before software, otherwise in the system's order."""
    global _instance_made
    with _instance_lock, _runtime_directory():
        if not _instance_made:
            _instance_made = True
            try:
                set_instance_extras(backends=["Vulkan", "Metal", "DX12"])
            except RuntimeError:
                pass  # The program made wgpu's instance before; its OpenGL adapters are filtered out below.
        found = wgpu.gpu.enumerate_adapters_sync()
    adapters = [
        (_adapter_info(adapter), adapter) for adapter in found if adapter.info["backend_type"] not in GL_BACKENDS
    ]
    return sorted(adapters, key=lambda pair: pair[0].software)


@contextmanager
def _runtime_directory() -> Iterator[None]:
    """Where XDG_RUNTIME_DIR is unset, Mesa's window-system code complains on stderr; we open no window."""
    if os.name != "posix" or "XDG_RUNTIME_DIR" in os.environ:
        yield
        return
    os.environ["XDG_RUNTIME_DIR"] = tempfile.gettempdir()
    try:
        yield
    finally:
        del os.environ["XDG_RUNTIME_DIR"]


def _adapter_info(adapter: Any) -> AdapterInfo:
    info = adapter.info
    name = info["device"] or info["description"] or info["vendor"] or "unnamed adapter"
    software = info["adapter_type"] == "CPU" or any(known in name.lower() for known in SOFTWARE_NAMES)
    description = ", ".join(part for part in (info["backend_type"], info["description"], info["adapter_type"]) if part)
    limits = {key.replace("-", "_"): int(value) for key, value in adapter.limits.items()}
    features = frozenset(FEATURES[feature] for feature in adapter.features if feature in FEATURES)
    return AdapterInfo(NativeDriver.name, name, description, software, limits, features)
