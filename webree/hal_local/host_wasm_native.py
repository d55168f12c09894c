"""The engine for WebAssembly kernels of inline programs, natively: wasmtime on one thread. Enters: nothing. Leaves: an
engine whose calls are over when they return, which is what an inline program waits for."""

from __future__ import annotations

from webree.hal_local.engine import Engine
from webree.hal_local.native import create_engine as create_native_engine

__all__ = ["create_engine"]


def create_engine() -> Engine:
    """Raises `DeviceError` where wasmtime is not installed or does not know the machine."""
    return create_native_engine(thread_count=1)
