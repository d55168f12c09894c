"""What a WebGPU implementation must offer: the seam between the shared device and its two sides.

Enters: calls of `webree.hal_webgpu.device.WebGpuDevice`, which validates everything beforehand (ranges, alignment,
counts, limits, aliases). Leaves: work on the one queue of a GPU device. `native.py` implements this over wgpu-py,
`browser.py` with `player/` over navigator.gpu. A backend keeps no policy: no pooling of buffers, no validation, no
scratch memory; it owns handles, bind-group caching and the replay of command streams (see command_stream.py).

Handles are small positive integers (32-bit) that the backend chooses; 0 is never a handle. Every method returns at
once; the queue orders all of them. What goes wrong later (validation, memory, a lost device) is kept in `failure` and
raised by the next wait that ends.

WebGPU: https://www.w3.org/TR/webgpu/
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from webree.errors import DeviceError
from webree.hal.device import AdapterInfo, Counters
from webree.module.source import ByteSource
from webree.waiting import Wait

__all__ = ["Backend", "PipelineSpec", "ShaderSpec", "Words"]

Words = array
"""`array("I")`: 32-bit unsigned words; has the buffer protocol."""


@dataclass(frozen=True, slots=True)
class ShaderSpec:
    """One WGSL module. `label` names it for people (the kernel, or the first of several); `source` is UTF-8 text."""

    label: str
    source: ByteSource


@dataclass(frozen=True, slots=True)
class PipelineSpec:
    """One compute pipeline.

    Attributes:
        label: the kernel's name, for errors, profiles and GPU debuggers.
        shader: index into the shaders of the same `create_pipelines` call.
        entry_point: the WGSL function.
        binding_read_only: for binding i of group 0, True = `read-only-storage`, False = `storage`. The layout has
            exactly these bindings, whether the shader uses them or not.
        has_constants: group 1 holds one uniform buffer with a dynamic offset (binding 0); else there is no group 1.
    """

    label: str
    shader: int
    entry_point: str
    binding_read_only: tuple[bool, ...]
    has_constants: bool


class Backend(Protocol):
    """A GPU device and its queue.

    Attributes:
        info: adapter, and the limits and features the device was opened with (limit names in snake_case).
        counters: the device's counters; the backend adds to `submissions` (queue submissions of streams), `crossings`
            (calls over the language border), `uploaded_bytes`, `read_back_bytes` and `pipelines`.
        failure: None, or what went wrong behind the caller's back; once set it stays (a lost device, an invalid
            command). The device raises it on every later call.
    """

    info: AdapterInfo
    counters: Counters
    failure: DeviceError | None

    def create_buffer(self, byte_size: int) -> int:
        """A zeroed buffer for storage, copies in both directions and indirect dispatches; size a multiple of 16.

        Raises `DeviceError` (RESOURCE_EXHAUSTED) at once or, where the API tells later, sets `failure`."""
        ...

    def destroy_buffer(self, buffer: int) -> None:
        """Free a buffer, and forget every bind group that holds it. Submitted work may still use it."""
        ...

    def write_buffer(self, buffer: int, byte_offset: int, source: ByteSource) -> None:
        """Write all of `source`; offset and size are multiples of 4. The source may be reused when this returns."""
        ...

    def create_pipelines(self, shaders: Sequence[ShaderSpec], pipelines: Sequence[PipelineSpec]) -> list[int]:
        """Start to compile in the background, all in parallel; the handles may be recorded at once, but a stream that
        uses them may only be submitted after `pipelines_ready()` is None."""
        ...

    def pipelines_ready(self) -> Wait | None:
        """None when everything that `create_pipelines` started is done, else a wait for it.

        The wait raises `DeviceError` made by `webree.hal_webgpu.diagnostics.shader_error`; so does every later wait
        of this method that includes the same failed pipeline only once, after which it is forgotten."""
        ...

    def load_stream(self, words: Words[int], constants: bytearray) -> int:
        """Keep a stream for many submissions; its constants region is written to a buffer of its own now, once."""
        ...

    def release_stream(self, stream: int) -> None:
        """Forget a stream of `load_stream` and its constants buffer."""
        ...

    def submit_stream(self, stream: int, table: Words[int]) -> None:
        """Run a loaded stream with a binding table: one crossing, one queue submission."""
        ...

    def submit(self, words: Words[int], constants: bytearray, table: Words[int]) -> None:
        """Run a stream once: one crossing, one queue submission. The constants region is written before it (by
        queue.writeBuffer, so in queue order) to a buffer that all one-shot streams share and that grows as needed."""
        ...

    def profile(self, words: Words[int], constants: bytearray, table: Words[int]) -> Wait:
        """As `submit`, but every dispatch is timed by itself: by timestamps where the device has `timestamp-query`,
        else by one submission and one wait each. The wait's result is a list of µs (float), one a dispatch."""
        ...

    def read_back(self, ranges: Sequence[tuple[int, int, int]]) -> Wait:
        """Copy (buffer, byte offset, byte length) ranges, multiples of 4, through one staging buffer and one map.

        The wait's result is a list of `ByteSource`, one a range, owned by the caller. Raises `failure` if it is set
        by then."""
        ...

    def destroy(self) -> None:
        """Free everything. Called once."""
        ...
