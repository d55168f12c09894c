"""The CPU's targets: what kernels for `cpu` (WebAssembly) and `vmvx` (bytecode) may do, as frozen data.

Enters: a profile. Leaves: the executable target that makes MLIR's passes generate code for it. The device that runs
them is called `local` in both cases, as the stock compiler calls it.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BYTECODE_FORMAT", "CPU_PROFILES", "LOCAL_DEVICE_ID", "VMVX_PROFILES", "WASM_FORMAT", "CpuProfile"]

LOCAL_DEVICE_ID = "local"
WASM_FORMAT = "system-wasm-wasm_32"
BYTECODE_FORMAT = "vmvx-bytecode-fb"

_DATA_LAYOUT = "e-m:e-p:32:32-p10:8:8-p20:8:8-i64:64-i128:128-n32:64-S128-ni:1:10:20"


@dataclass(frozen=True, slots=True)
class CpuProfile:
    """A way to compile for the CPU.

    Attributes:
        name: as `--profile` takes it.
        target: `cpu` (WebAssembly) or `vmvx` (bytecode).
        summary: one line for people.
        packed: weights may be laid out for this target alone. False where the module shares its weights with WebGPU.
        microkernels: VMVX calls ready-made functions for matmuls and the like, on packed data, instead of looping.
    """

    name: str
    target: str
    summary: str
    packed: bool = True
    microkernels: bool = False

    def executable_target(self, *, inline_static: bool = False) -> str:
        """MLIR text of the executable target."""
        if self.target == "cpu":
            return (
                f'#hal.executable.target<"llvm-cpu", "{WASM_FORMAT}", {{cpu = "", '
                f'cpu_features = "+simd128,+bulk-memory", data_layout = "{_DATA_LAYOUT}", '
                "iree.encoding.resolver = #iree_cpu.cpu_encoding_resolver<>, link_embedded = false, "
                "max_stack_allocation_size = 32768 : i64, native_vector_size = 16 : i64, "
                'target_triple = "wasm32-unknown-unknown"}>'
            )
        backend, name = ("vmvx-inline", "vmvx-ir") if inline_static else ("vmvx", BYTECODE_FORMAT)
        kernels = "all" if self.microkernels else "none"
        return (
            f'#hal.executable.target<"{backend}", "{name}", '
            f'{{iree.encoding.resolver = #iree_cpu.vmvx_encoding_resolver<>, ukernels = "{kernels}"}}>'
        )


CPU_PROFILES: tuple[CpuProfile, ...] = (
    CpuProfile("cpu", "cpu", "WebAssembly with 128-bit vectors, as every browser and the native device run it"),
)
VMVX_PROFILES: tuple[CpuProfile, ...] = (
    CpuProfile("vmvx", "vmvx", "kernels as loops of bytecode: small, slow, the same everywhere"),
    CpuProfile("vmvx-microkernels", "vmvx", "kernels that call ready-made matrix functions", microkernels=True),
)
