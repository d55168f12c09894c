"""Kernels for tests of the CPU engine, good and bad ones, and a chain of dispatches that shows missing barriers.

Enters: an engine. Leaves: what the kernels wrote.
"""

from __future__ import annotations

import struct

from tests.local_kernels import Kernel
from webree.hal_local.engine import Engine, Library
from webree.hal_local.stream import StreamWriter
from webree.module.source import MemorySource

LINEAR = """
  (func $linear (param $state i32) (param $workgroup i32) (result i32)
    (i32.add (i32.load (local.get $workgroup))
      (i32.mul (i32.load offset=12 (local.get $state))
        (i32.add (i32.load offset=4 (local.get $workgroup))
          (i32.mul (i32.load offset=16 (local.get $state)) (i32.load16_u offset=8 (local.get $workgroup)))))))
  (func $element (param $state i32) (param $workgroup i32) (param $n i32) (result i32)
    (i32.add (call $binding (local.get $state) (local.get $n))
      (i32.shl (call $linear (local.get $state) (local.get $workgroup)) (i32.const 2))))
"""
OUT = "(call $element (local.get $state) (local.get $workgroup) (i32.const 0))"
# out[i] = x | y << 8 | z << 16 | constant << 24
COORDINATES = f"""(i32.store {OUT} (i32.or
  (i32.or (i32.load (local.get $workgroup)) (i32.shl (i32.load offset=4 (local.get $workgroup)) (i32.const 8)))
  (i32.or (i32.shl (i32.load16_u offset=8 (local.get $workgroup)) (i32.const 16))
          (i32.shl (call $constant (local.get $state) (i32.const 1)) (i32.const 24)))))
  (i32.const 0)"""
# out[i] = in[n - 1 - i] * 3 + 1: every element comes from another workgroup
MIRROR = f"""(local $n i32)
  (local.set $n (i32.shr_u (call $length (local.get $state) (i32.const 1)) (i32.const 2)))
  (i32.store {OUT} (i32.add (i32.const 1) (i32.mul (i32.const 3) (i32.load (i32.add
    (call $binding (local.get $state) (i32.const 1))
    (i32.shl (i32.sub (i32.sub (local.get $n) (i32.const 1))
                      (call $linear (local.get $state) (local.get $workgroup))) (i32.const 2)))))))
  (i32.const 0)"""
# the whole of its arguments, as one workgroup sees them
ARGUMENTS = """(memory.copy (call $binding (local.get $state) (i32.const 0)) (local.get $state) (i32.const 24))
  (memory.copy (i32.add (call $binding (local.get $state) (i32.const 0)) (i32.const 24))
               (local.get $workgroup) (i32.const 24))
  (i32.const 0)"""
# writes all of its local memory, reads it back
LOCAL = f"""(local $at i32) (local $end i32) (local $sum i32)
  (local.set $at (i32.load offset=16 (local.get $workgroup)))
  (memory.fill (local.get $at) (call $linear (local.get $state) (local.get $workgroup))
               (i32.load offset=20 (local.get $workgroup)))
  (local.set $end (i32.add (local.get $at) (i32.load offset=20 (local.get $workgroup))))
  (loop $next
    (local.set $sum (i32.add (local.get $sum) (i32.load8_u (local.get $at))))
    (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (local.get $end))))
  (i32.store {OUT} (local.get $sum))
  (i32.const 0)"""
# pushes a frame of constant 0 bytes and writes its lowest word
STACK = """(local $old i32)
  (local.set $old (global.get $stack))
  (global.set $stack (i32.sub (local.get $old) (call $constant (local.get $state) (i32.const 0))))
  (memory.fill (global.get $stack) (i32.const 7) (call $constant (local.get $state) (i32.const 0)))
  (global.set $stack (local.get $old))
  (i32.const 0)"""
TRAP_AT = """(if (i32.eq (call $linear (local.get $state) (local.get $workgroup))
                       (call $constant (local.get $state) (i32.const 0))) (then (unreachable)))
  (i32.const 0)"""
STATUS_AT = """(select (i32.const 9) (i32.const 0) (i32.eq (call $linear (local.get $state) (local.get $workgroup))
                                                        (call $constant (local.get $state) (i32.const 0))))"""
KERNELS = [
    Kernel("coordinates", COORDINATES, constant_count=2),
    Kernel("mirror", MIRROR, binding_count=2),
    Kernel("arguments", ARGUMENTS, constant_count=1, workgroup_size=(3, 4, 5), local_memory_pages=2),
    Kernel("local", LOCAL, local_memory_pages=3),
    Kernel("stack", STACK, constant_count=1, binding_count=0),
    Kernel("trap_at", TRAP_AT, constant_count=1, binding_count=0),
    Kernel("status_at", STATUS_AT, constant_count=1, binding_count=0),
    Kernel("recurse", "(call $kernel7 (i32.const 0) (i32.const 0) (i32.const 0)) (i32.const 1) (i32.add)"),
    Kernel("outside", "(i32.load (i32.const -4))"),
    Kernel("divide", "(i32.div_s (i32.const 1) (i32.const 0))"),
]
COORDINATES_, MIRROR_, ARGUMENTS_, LOCAL_, STACK_, TRAP_, STATUS_, RECURSE_, OUTSIDE_, DIVIDE_ = range(10)


def words_at(engine: Engine, address: int, count: int) -> list[int]:
    [source] = engine.read([(address, 4 * count)]).block()
    return list(struct.unpack(f"<{count}I", source.read(0, 4 * count)))


def mirror_chain(engine: Engine, library: Library, count: int, depth: int) -> list[int]:
    """`depth` dispatches, each of which reads what all workgroups of the one before wrote."""
    base, size = engine.base_address, 4 * count
    engine.grow(base + 2 * size)
    engine.write(base, MemorySource(struct.pack(f"<{count}I", *range(count))))
    stream = StreamWriter()
    for step in range(depth):
        source, target = (base, base + size) if step % 2 == 0 else (base + size, base)
        stream.dispatch(library.identifier, MIRROR_, (count, 1, 1), [], [target, source], [size, size])
        stream.barrier()
    engine.submit(stream.words)
    return words_at(engine, base + size * (depth % 2), count)
