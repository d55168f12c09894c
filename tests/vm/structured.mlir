// Programs for test_programs.py: every exported function that takes and returns only i32 and i64 is run in IREE's
// runtime and in ours, in file order, with the same arguments, on one context each (so that globals carry over).
vm.module @structured {
  vm.global.i32 private mutable @g_i32 = 7 : i32
  vm.global.i64 private mutable @g_i64 = -9000000000 : i64
  vm.global.f32 private mutable @g_f32 = 1.5 : f32
  vm.global.f64 private mutable @g_f64 = -2.25 : f64
  vm.global.ref private mutable @g_ref : !vm.buffer
  vm.rodata private @bytes dense<[1, 2, 253, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 255]> : tensor<16xui8>
  vm.rodata private @floats dense<[1.0, -2.5, 3.25, 1.0e30]> : tensor<4xf32>
  vm.import private optional @absent.function(%a : i32) -> i32

  vm.initializer {
    %length = vm.const.i64 24
    %alignment = vm.const.i32 16
    %buffer = vm.buffer.alloc %length, %alignment : !vm.buffer
    vm.global.store.ref %buffer, @g_ref : !vm.buffer
    vm.return
  }

  // Globals.
  vm.export @global_i32
  vm.func @global_i32(%a: i32) -> i32 {
    %0 = vm.global.load.i32 @g_i32 : i32
    %1 = vm.add.i32 %0, %a : i32
    vm.global.store.i32 %1, @g_i32 : i32
    vm.return %0 : i32
  }
  vm.export @global_i64
  vm.func @global_i64(%a: i64) -> i64 {
    %0 = vm.global.load.i64 @g_i64 : i64
    %1 = vm.mul.i64 %0, %a : i64
    vm.global.store.i64 %1, @g_i64 : i64
    vm.return %0 : i64
  }
  vm.export @global_f32
  vm.func @global_f32(%a: i32) -> i32 {
    %0 = vm.global.load.f32 @g_f32 : f32
    %1 = vm.cast.si32.f32 %a : i32 -> f32
    vm.global.store.f32 %1, @g_f32 : f32
    %2 = vm.bitcast.f32.i32 %0 : f32 -> i32
    vm.return %2 : i32
  }
  vm.export @global_f64
  vm.func @global_f64(%a: i64) -> i64 {
    %0 = vm.global.load.f64 @g_f64 : f64
    %1 = vm.cast.si64.f64 %a : i64 -> f64
    vm.global.store.f64 %1, @g_f64 : f64
    %2 = vm.bitcast.f64.i64 %0 : f64 -> i64
    vm.return %2 : i64
  }
  vm.export @global_ref_state
  vm.func @global_ref_state(%index: i64, %value: i32) -> i32 {
    %buffer = vm.global.load.ref @g_ref : !vm.buffer
    %old = vm.buffer.load.i32 %buffer[%index] : !vm.buffer -> i32
    vm.buffer.store.i32 %value, %buffer[%index] : i32 -> !vm.buffer
    vm.return %old : i32
  }
  // Choosing.
  vm.export @switch_i32
  vm.func @switch_i32(%i: i32, %a: i32, %b: i32, %c: i32) -> i32 {
    %0 = vm.switch.i32 %i[%a, %b, %a] else %c : i32
    vm.return %0 : i32
  }
  vm.export @switch_i64
  vm.func @switch_i64(%i: i32, %x: i32, %y: i32) -> i64 {
    %a = vm.ext.i32.i64.u %x : i32 -> i64
    %b = vm.ext.i32.i64.u %y : i32 -> i64
    %c = vm.const.i64 77
    %0 = vm.switch.i64 %i[%a, %b] else %c : i64
    vm.return %0 : i64
  }
  vm.export @switch_f32
  vm.func @switch_f32(%i: i32, %x: i32) -> i32 {
    %a = vm.const.f32 1.25
    %b = vm.cast.si32.f32 %x : i32 -> f32
    %c = vm.const.f32.zero
    %0 = vm.switch.f32 %i[%a, %b] else %c : f32
    %1 = vm.bitcast.f32.i32 %0 : f32 -> i32
    vm.return %1 : i32
  }
  vm.export @switch_f64
  vm.func @switch_f64(%i: i32, %x: i64) -> i64 {
    %a = vm.const.f64 1.25
    %b = vm.cast.si64.f64 %x : i64 -> f64
    %c = vm.const.f64.zero
    %0 = vm.switch.f64 %i[%a, %b] else %c : f64
    %1 = vm.bitcast.f64.i64 %0 : f64 -> i64
    vm.return %1 : i64
  }
  vm.export @switch_ref
  vm.func @switch_ref(%i: i32) -> i64 {
    %a = vm.const.ref.rodata @bytes : !vm.buffer
    %b = vm.const.ref.rodata @floats : !vm.buffer
    %c = vm.global.load.ref @g_ref : !vm.buffer
    %0 = vm.switch.ref %i[%a, %b] else %c : !vm.buffer
    %1 = vm.buffer.length %0 : !vm.buffer -> i64
    vm.return %1 : i64
  }
  vm.export @select_ref
  vm.func @select_ref(%i: i32) -> i64 {
    %a = vm.const.ref.rodata @bytes : !vm.buffer
    %length = vm.const.i64 5
    %alignment = vm.const.i32 16
    %b = vm.buffer.alloc %length, %alignment : !vm.buffer
    %0 = vm.select.ref %i, %a, %b : !vm.buffer
    %1 = vm.buffer.length %0 : !vm.buffer -> i64
    vm.return %1 : i64
  }
  vm.export @compare_refs
  vm.func @compare_refs(%i: i32) -> (i32, i32, i32) {
    %a = vm.const.ref.rodata @bytes : !vm.buffer
    %b = vm.const.ref.rodata @floats : !vm.buffer
    %null = vm.const.ref.zero : !vm.buffer
    %0 = vm.select.ref %i, %a, %b : !vm.buffer
    %1 = vm.cmp.eq.ref %0, %a : !vm.buffer
    %2 = vm.cmp.ne.ref %0, %null : !vm.buffer
    %3 = vm.select.ref %i, %null, %b : !vm.buffer
    %4 = vm.cmp.nz.ref %3 : !vm.buffer
    vm.return %1, %2, %4 : i32, i32, i32
  }
  vm.export @cast_any
  vm.func @cast_any(%i: i32) -> i32 {
    %zero = vm.const.i32 0
    vm.cond_br %i, ^list, ^buffer
  ^list:
    %list = vm.list.alloc %zero : (i32) -> !vm.list<i32>
    %0 = vm.cast.ref.any %list : !vm.list<i32> -> !vm.ref<?>
    vm.br ^join(%0 : !vm.ref<?>)
  ^buffer:
    %buffer = vm.const.ref.rodata @bytes : !vm.buffer
    %1 = vm.cast.ref.any %buffer : !vm.buffer -> !vm.ref<?>
    vm.br ^join(%1 : !vm.ref<?>)
  ^join(%2: !vm.ref<?>):
    %3 = vm.cast.any.ref %2 : !vm.ref<?> -> !vm.buffer
    %4 = vm.cmp.nz.ref %3 : !vm.buffer
    vm.return %4 : i32
  }

  // Control flow.
  vm.export @branch_swap
  vm.func @branch_swap(%count: i32, %x: i32, %y: i64, %z: i64) -> (i32, i32, i64, i64) {
    %limit = vm.const.i32 15
    %n = vm.and.i32 %count, %limit : i32
    %c0 = vm.const.i32 0
    vm.br ^loop(%c0, %x, %n, %y, %z : i32, i32, i32, i64, i64)
  ^loop(%i: i32, %a: i32, %b: i32, %c: i64, %d: i64):
    %one = vm.const.i32 1
    %next = vm.add.i32 %i, %one : i32
    %more = vm.cmp.lt.i32.s %next, %n : i32
    vm.cond_br %more, ^loop(%next, %b, %a, %d, %c : i32, i32, i32, i64, i64), ^done
  ^done:
    vm.return %a, %b, %c, %d : i32, i32, i64, i64
  }
  vm.export @collatz
  vm.func @collatz(%seed: i32) -> (i32, i64) {
    %mask = vm.const.i32 1023
    %zero = vm.const.i32 0
    %one = vm.const.i32 1
    %two = vm.const.i32 2
    %three = vm.const.i32 3
    %zero64 = vm.const.i64 0
    %0 = vm.and.i32 %seed, %mask : i32
    %1 = vm.add.i32 %0, %one : i32
    vm.br ^head(%1, %zero, %zero64 : i32, i32, i64)
  ^head(%n: i32, %steps: i32, %sum: i64):
    %done = vm.cmp.eq.i32 %n, %one : i32
    vm.cond_br %done, ^exit, ^body
  ^body:
    %wide = vm.ext.i32.i64.s %n : i32 -> i64
    %sum2 = vm.add.i64 %sum, %wide : i64
    %steps2 = vm.add.i32 %steps, %one : i32
    %odd = vm.and.i32 %n, %one : i32
    vm.cond_br %odd, ^odd, ^even
  ^odd:
    %tripled = vm.mul.i32 %n, %three : i32
    %tripled1 = vm.add.i32 %tripled, %one : i32
    vm.br ^head(%tripled1, %steps2, %sum2 : i32, i32, i64)
  ^even:
    %half = vm.div.i32.s %n, %two : i32
    vm.br ^head(%half, %steps2, %sum2 : i32, i32, i64)
  ^exit:
    vm.return %steps, %sum : i32, i64
  }
  vm.export @nested_loops
  vm.func @nested_loops(%rows: i32, %columns: i32) -> i32 {
    %mask = vm.const.i32 7
    %m = vm.and.i32 %rows, %mask : i32
    %n = vm.and.i32 %columns, %mask : i32
    %zero = vm.const.i32 0
    %one = vm.const.i32 1
    vm.br ^outer(%zero, %zero : i32, i32)
  ^outer(%i: i32, %total: i32):
    %more_rows = vm.cmp.lt.i32.s %i, %m : i32
    vm.cond_br %more_rows, ^inner(%zero, %total : i32, i32), ^exit
  ^inner(%j: i32, %part: i32):
    %more = vm.cmp.lt.i32.s %j, %n : i32
    vm.cond_br %more, ^step, ^next
  ^step:
    %ij = vm.mul.i32 %i, %j : i32
    %part2 = vm.fma.i32 %ij, %n, %part : i32
    %j2 = vm.add.i32 %j, %one : i32
    vm.br ^inner(%j2, %part2 : i32, i32)
  ^next:
    %i2 = vm.add.i32 %i, %one : i32
    vm.br ^outer(%i2, %part : i32, i32)
  ^exit:
    vm.return %total : i32
  }
  vm.export @branch_table
  vm.func @branch_table(%i: i32, %a: i32, %b: i64) -> i64 {
    %wide = vm.ext.i32.i64.s %a : i32 -> i64
    vm.br_table %i {
      default: ^default(%a : i32),
      0: ^join(%b : i64),
      1: ^join(%wide : i64),
      2: ^other
    }
  ^default(%x: i32):
    %minus = vm.const.i32 -1
    %y = vm.xor.i32 %x, %minus : i32
    %z = vm.ext.i32.i64.u %y : i32 -> i64
    vm.br ^join(%z : i64)
  ^other:
    %w = vm.sub.i64 %b, %wide : i64
    vm.br ^join(%w : i64)
  ^join(%r: i64):
    vm.return %r : i64
  }
  vm.export @branch_refs
  vm.func @branch_refs(%count: i32) -> (i64, i64) {
    %mask = vm.const.i32 7
    %n = vm.and.i32 %count, %mask : i32
    %a = vm.const.ref.rodata @bytes : !vm.buffer
    %b = vm.global.load.ref @g_ref : !vm.buffer
    %zero = vm.const.i32 0
    vm.br ^loop(%zero, %a, %b : i32, !vm.buffer, !vm.buffer)
  ^loop(%i: i32, %x: !vm.buffer, %y: !vm.buffer):
    %one = vm.const.i32 1
    %next = vm.add.i32 %i, %one : i32
    %more = vm.cmp.lt.i32.s %next, %n : i32
    vm.cond_br %more, ^loop(%next, %y, %x : i32, !vm.buffer, !vm.buffer), ^done
  ^done:
    %lx = vm.buffer.length %x : !vm.buffer -> i64
    %ly = vm.buffer.length %y : !vm.buffer -> i64
    vm.return %lx, %ly : i64, i64
  }
  vm.export @fail_if
  vm.func @fail_if(%i: i32) -> i32 {
    %limit = vm.const.i32 3
    %bad = vm.cmp.lt.i32.s %limit, %i : i32
    %code = vm.const.i32 9
    vm.cond_fail %bad, %code, "too large"
    vm.return %i : i32
  }
  vm.export @fail_with
  vm.func @fail_with(%i: i32) -> i32 {
    %mask = vm.const.i32 15
    %code = vm.and.i32 %i, %mask : i32
    %set = vm.cmp.nz.i32 %code : i32
    vm.cond_br %set, ^bad, ^good
  ^bad:
    vm.fail %code, "chosen"
  ^good:
    vm.return %i : i32
  }

  // Calls.
  vm.func private @helper(%a: i32, %b: i64, %buffer: !vm.buffer, %c: i32) -> (i64, i32, !vm.buffer) attributes {inlining_policy = #util.inline.never} {
    %wide = vm.ext.i32.i64.s %a : i32 -> i64
    %0 = vm.add.i64 %wide, %b : i64
    vm.return %0, %c, %buffer : i64, i32, !vm.buffer
  }
  vm.export @call_mixed
  vm.func @call_mixed(%a: i32, %b: i64) -> (i64, i32, i64) {
    %buffer = vm.const.ref.rodata @floats : !vm.buffer
    %0:3 = vm.call @helper(%a, %b, %buffer, %a) : (i32, i64, !vm.buffer, i32) -> (i64, i32, !vm.buffer)
    %1:3 = vm.call @helper(%0#1, %0#0, %0#2, %a) : (i32, i64, !vm.buffer, i32) -> (i64, i32, !vm.buffer)
    %2 = vm.buffer.length %1#2 : !vm.buffer -> i64
    vm.return %1#0, %1#1, %2 : i64, i32, i64
  }
  vm.export @optional_import
  vm.func @optional_import(%a: i32) -> i32 {
    %have = vm.import.resolved @absent.function : i32
    vm.cond_br %have, ^yes, ^no
  ^yes:
    %0 = vm.call @absent.function(%a) : (i32) -> i32
    vm.return %0 : i32
  ^no:
    %minus = vm.const.i32 -5
    vm.return %minus : i32
  }
  vm.export @missing_import
  vm.func @missing_import(%a: i32) -> i32 {
    %0 = vm.call @absent.function(%a) : (i32) -> i32
    vm.return %0 : i32
  }
  vm.export @debug_ops
  vm.func @debug_ops(%a: i32) -> i32 {
    %buffer = vm.const.ref.rodata @floats : !vm.buffer
    vm.trace "event"(%a, %buffer) : i32, !vm.buffer
    vm.return %a : i32
  }
  vm.func private @slow(%a: i32) -> i32 attributes {inlining_policy = #util.inline.never} {
    vm.yield ^next
  ^next:
    %one = vm.const.i32 1
    %0 = vm.add.i32 %a, %one : i32
    vm.return %0 : i32
  }

  // Lists.
  vm.export @list_i32
  vm.func @list_i32(%i: i32, %v: i32) -> (i32, i32, i64) {
    %four = vm.const.i32 4
    %list = vm.list.alloc %four : (i32) -> !vm.list<i32>
    vm.list.reserve %list, %four : (!vm.list<i32>, i32)
    vm.list.resize %list, %four : (!vm.list<i32>, i32)
    vm.list.set.i32 %list, %i, %v : (!vm.list<i32>, i32, i32)
    %0 = vm.list.get.i32 %list, %i : (!vm.list<i32>, i32) -> i32
    %size = vm.list.size %list : (!vm.list<i32>) -> i32
    %1 = vm.list.get.i64 %list, %i : (!vm.list<i32>, i32) -> i64
    vm.return %0, %size, %1 : i32, i32, i64
  }
  vm.export @list_i64
  vm.func @list_i64(%i: i32, %v: i64) -> (i64, i32) {
    %four = vm.const.i32 4
    %list = vm.list.alloc %four : (i32) -> !vm.list<i64>
    vm.list.resize %list, %four : (!vm.list<i64>, i32)
    vm.list.set.i64 %list, %i, %v : (!vm.list<i64>, i32, i64)
    %0 = vm.list.get.i64 %list, %i : (!vm.list<i64>, i32) -> i64
    %1 = vm.list.get.i32 %list, %i : (!vm.list<i64>, i32) -> i32
    vm.return %0, %1 : i64, i32
  }
  vm.export @list_i8
  vm.func @list_i8(%i: i32, %v: i32) -> (i32, i64) {
    %four = vm.const.i32 4
    %list = vm.list.alloc %four : (i32) -> !vm.list<i8>
    vm.list.resize %list, %four : (!vm.list<i8>, i32)
    vm.list.set.i32 %list, %i, %v : (!vm.list<i8>, i32, i32)
    %0 = vm.list.get.i32 %list, %i : (!vm.list<i8>, i32) -> i32
    %1 = vm.list.get.i64 %list, %i : (!vm.list<i8>, i32) -> i64
    vm.return %0, %1 : i32, i64
  }
  vm.export @list_i16
  vm.func @list_i16(%v: i32) -> i32 {
    %four = vm.const.i32 4
    %list = vm.list.alloc %four : (i32) -> !vm.list<i16>
    vm.list.resize %list, %four : (!vm.list<i16>, i32)
    %i = vm.const.i32 2
    vm.list.set.i32 %list, %i, %v : (!vm.list<i16>, i32, i32)
    %0 = vm.list.get.i32 %list, %i : (!vm.list<i16>, i32) -> i32
    vm.return %0 : i32
  }
  vm.export @list_f32
  vm.func @list_f32(%v: i32) -> (i32, i32, i64) {
    %two = vm.const.i32 2
    %one = vm.const.i32 1
    %list = vm.list.alloc %two : (i32) -> !vm.list<f32>
    vm.list.resize %list, %two : (!vm.list<f32>, i32)
    %f = vm.cast.si32.f32 %v : i32 -> f32
    %quarter = vm.const.f32 0.25
    %g = vm.mul.f32 %f, %quarter : f32
    vm.list.set.f32 %list, %one, %g : (!vm.list<f32>, i32, f32)
    %0 = vm.list.get.f32 %list, %one : (!vm.list<f32>, i32) -> f32
    %1 = vm.bitcast.f32.i32 %0 : f32 -> i32
    %2 = vm.list.get.i32 %list, %one : (!vm.list<f32>, i32) -> i32
    %3 = vm.list.get.f64 %list, %one : (!vm.list<f32>, i32) -> f64
    %4 = vm.bitcast.f64.i64 %3 : f64 -> i64
    vm.return %1, %2, %4 : i32, i32, i64
  }
  vm.export @list_f64
  vm.func @list_f64(%v: i64) -> (i64, i32) {
    %two = vm.const.i32 2
    %one = vm.const.i32 1
    %list = vm.list.alloc %two : (i32) -> !vm.list<f64>
    vm.list.resize %list, %two : (!vm.list<f64>, i32)
    %f = vm.cast.si64.f64 %v : i64 -> f64
    %quarter = vm.const.f64 0.25
    %g = vm.mul.f64 %f, %quarter : f64
    vm.list.set.f64 %list, %one, %g : (!vm.list<f64>, i32, f64)
    %0 = vm.list.get.f64 %list, %one : (!vm.list<f64>, i32) -> f64
    %1 = vm.bitcast.f64.i64 %0 : f64 -> i64
    %2 = vm.list.get.f32 %list, %one : (!vm.list<f64>, i32) -> f32
    %3 = vm.bitcast.f32.i32 %2 : f32 -> i32
    vm.return %1, %3 : i64, i32
  }
  vm.export @list_variant
  vm.func @list_variant(%which: i32, %a: i32, %b: i64) -> (i32, i64, i32) {
    %four = vm.const.i32 4
    %zero = vm.const.i32 0
    %one = vm.const.i32 1
    %two = vm.const.i32 2
    %list = vm.list.alloc %four : (i32) -> !vm.list<?>
    vm.list.resize %list, %four : (!vm.list<?>, i32)
    vm.list.set.i32 %list, %zero, %a : (!vm.list<?>, i32, i32)
    vm.list.set.i64 %list, %one, %b : (!vm.list<?>, i32, i64)
    %f = vm.cast.si32.f32 %a : i32 -> f32
    vm.list.set.f32 %list, %two, %f : (!vm.list<?>, i32, f32)
    %0 = vm.list.get.i32 %list, %which : (!vm.list<?>, i32) -> i32
    %1 = vm.list.get.i64 %list, %which : (!vm.list<?>, i32) -> i64
    %2 = vm.list.get.f32 %list, %which : (!vm.list<?>, i32) -> f32
    %3 = vm.bitcast.f32.i32 %2 : f32 -> i32
    vm.return %0, %1, %3 : i32, i64, i32
  }
  vm.export @list_refs
  vm.func @list_refs(%which: i32) -> i64 {
    %four = vm.const.i32 4
    %zero = vm.const.i32 0
    %one = vm.const.i32 1
    %list = vm.list.alloc %four : (i32) -> !vm.list<?>
    vm.list.resize %list, %four : (!vm.list<?>, i32)
    %a = vm.const.ref.rodata @bytes : !vm.buffer
    %b = vm.global.load.ref @g_ref : !vm.buffer
    vm.list.set.ref %list, %zero, %a : (!vm.list<?>, i32, !vm.buffer)
    vm.list.set.ref %list, %one, %b : (!vm.list<?>, i32, !vm.buffer)
    %0 = vm.list.get.ref %list, %which : (!vm.list<?>, i32) -> !vm.buffer
    %1 = vm.buffer.length %0 : !vm.buffer -> i64
    vm.return %1 : i64
  }
  vm.export @list_mixed_refs
  vm.func @list_mixed_refs(%which: i32, %v: i32) -> (i32, i32) {
    %four = vm.const.i32 4
    %zero = vm.const.i32 0
    %one = vm.const.i32 1
    %two = vm.const.i32 2
    %list = vm.list.alloc %four : (i32) -> !vm.list<?>
    vm.list.resize %list, %four : (!vm.list<?>, i32)
    %a = vm.const.ref.rodata @bytes : !vm.buffer
    vm.list.set.ref %list, %zero, %a : (!vm.list<?>, i32, !vm.buffer)
    vm.list.set.i32 %list, %one, %v : (!vm.list<?>, i32, i32)
    %inner = vm.list.alloc %four : (i32) -> !vm.list<i32>
    vm.list.set.ref %list, %two, %inner : (!vm.list<?>, i32, !vm.list<i32>)
    %0 = vm.list.get.ref %list, %which : (!vm.list<?>, i32) -> !vm.buffer
    %1 = vm.cmp.nz.ref %0 : !vm.buffer
    %2 = vm.list.get.ref %list, %which : (!vm.list<?>, i32) -> !vm.list<i32>
    %3 = vm.cmp.nz.ref %2 : !vm.list<i32>
    vm.return %1, %3 : i32, i32
  }
  vm.export @list_number_of_ref
  vm.func @list_number_of_ref(%i: i32) -> i32 {
    %one = vm.const.i32 1
    %zero = vm.const.i32 0
    %list = vm.list.alloc %one : (i32) -> !vm.list<?>
    vm.list.resize %list, %one : (!vm.list<?>, i32)
    %a = vm.const.ref.rodata @bytes : !vm.buffer
    vm.list.set.ref %list, %zero, %a : (!vm.list<?>, i32, !vm.buffer)
    %0 = vm.list.get.i32 %list, %zero : (!vm.list<?>, i32) -> i32
    vm.return %0 : i32
  }
  vm.export @list_cross
  vm.func @list_cross(%v: i32) -> (i32, i64, i64) {
    %one = vm.const.i32 1
    %zero = vm.const.i32 0
    %numbers = vm.list.alloc %one : (i32) -> !vm.list<i32>
    vm.list.resize %numbers, %one : (!vm.list<i32>, i32)
    %f = vm.cast.si32.f32 %v : i32 -> f32
    vm.list.set.f32 %numbers, %zero, %f : (!vm.list<i32>, i32, f32)
    %0 = vm.list.get.i32 %numbers, %zero : (!vm.list<i32>, i32) -> i32
    %floats = vm.list.alloc %one : (i32) -> !vm.list<f64>
    vm.list.resize %floats, %one : (!vm.list<f64>, i32)
    vm.list.set.f32 %floats, %zero, %f : (!vm.list<f64>, i32, f32)
    %1 = vm.list.get.f64 %floats, %zero : (!vm.list<f64>, i32) -> f64
    %2 = vm.bitcast.f64.i64 %1 : f64 -> i64
    vm.list.set.i32 %floats, %zero, %v : (!vm.list<f64>, i32, i32)
    %3 = vm.list.get.f64 %floats, %zero : (!vm.list<f64>, i32) -> f64
    %4 = vm.bitcast.f64.i64 %3 : f64 -> i64
    vm.return %0, %2, %4 : i32, i64, i64
  }
  vm.export @list_resize
  vm.func @list_resize(%n: i32, %m: i32) -> (i32, i32) {
    %zero = vm.const.i32 0
    %mask = vm.const.i32 31
    %v = vm.const.i32 12
    %n2 = vm.and.i32 %n, %mask : i32
    %m2 = vm.and.i32 %m, %mask : i32
    %list = vm.list.alloc %zero : (i32) -> !vm.list<i32>
    vm.list.resize %list, %n2 : (!vm.list<i32>, i32)
    vm.list.set.i32 %list, %zero, %v : (!vm.list<i32>, i32, i32)
    vm.list.resize %list, %m2 : (!vm.list<i32>, i32)
    %size = vm.list.size %list : (!vm.list<i32>) -> i32
    %0 = vm.list.get.i32 %list, %zero : (!vm.list<i32>, i32) -> i32
    vm.return %size, %0 : i32, i32
  }

  // Buffers.
  vm.export @buffer_load_bytes
  vm.func @buffer_load_bytes(%i: i64) -> (i32, i32) {
    %b = vm.const.ref.rodata @bytes : !vm.buffer
    %0 = vm.buffer.load.i8.u %b[%i] : !vm.buffer -> i32
    %1 = vm.buffer.load.i8.s %b[%i] : !vm.buffer -> i32
    vm.return %0, %1 : i32, i32
  }
  vm.export @buffer_load_shorts
  vm.func @buffer_load_shorts(%i: i64) -> (i32, i32) {
    %b = vm.const.ref.rodata @bytes : !vm.buffer
    %0 = vm.buffer.load.i16.u %b[%i] : !vm.buffer -> i32
    %1 = vm.buffer.load.i16.s %b[%i] : !vm.buffer -> i32
    vm.return %0, %1 : i32, i32
  }
  vm.export @buffer_load_words
  vm.func @buffer_load_words(%i: i64) -> (i32, i32) {
    %b = vm.const.ref.rodata @bytes : !vm.buffer
    %f = vm.const.ref.rodata @floats : !vm.buffer
    %0 = vm.buffer.load.i32 %b[%i] : !vm.buffer -> i32
    %1 = vm.buffer.load.f32 %f[%i] : !vm.buffer -> f32
    %2 = vm.bitcast.f32.i32 %1 : f32 -> i32
    vm.return %0, %2 : i32, i32
  }
  vm.export @buffer_load_longs
  vm.func @buffer_load_longs(%i: i64) -> (i64, i64) {
    %b = vm.const.ref.rodata @bytes : !vm.buffer
    %0 = vm.buffer.load.i64 %b[%i] : !vm.buffer -> i64
    %1 = vm.buffer.load.f64 %b[%i] : !vm.buffer -> f64
    %2 = vm.bitcast.f64.i64 %1 : f64 -> i64
    vm.return %0, %2 : i64, i64
  }
  vm.func private @new(%length: i64) -> !vm.buffer attributes {inlining_policy = #util.inline.never} {
    %alignment = vm.const.i32 16
    %b = vm.buffer.alloc %length, %alignment : !vm.buffer
    vm.return %b : !vm.buffer
  }
  vm.export @buffer_store
  vm.func @buffer_store(%i: i64, %v: i32, %w: i64) -> (i64, i64, i64, i64) {
    %length = vm.const.i64 32
    %c0 = vm.const.i64 0
    %c1 = vm.const.i64 1
    %c2 = vm.const.i64 2
    %c3 = vm.const.i64 3
    %b = vm.call @new(%length) : (i64) -> !vm.buffer
    vm.buffer.store.i64 %w, %b[%c1] : i64 -> !vm.buffer
    vm.buffer.store.i8 %v, %b[%i] : i32 -> !vm.buffer
    vm.buffer.store.i16 %v, %b[%i] : i32 -> !vm.buffer
    vm.buffer.store.i32 %v, %b[%i] : i32 -> !vm.buffer
    %f = vm.cast.si32.f32 %v : i32 -> f32
    %d = vm.cast.si64.f64 %w : i64 -> f64
    %c7 = vm.const.i64 7
    vm.buffer.store.f32 %f, %b[%c7] : f32 -> !vm.buffer
    vm.buffer.store.f64 %d, %b[%c2] : f64 -> !vm.buffer
    %0 = vm.buffer.load.i64 %b[%c0] : !vm.buffer -> i64
    %1 = vm.buffer.load.i64 %b[%c1] : !vm.buffer -> i64
    %2 = vm.buffer.load.i64 %b[%c2] : !vm.buffer -> i64
    %3 = vm.buffer.load.i64 %b[%c3] : !vm.buffer -> i64
    vm.return %0, %1, %2, %3 : i64, i64, i64, i64
  }
  vm.export @buffer_fill_small
  vm.func @buffer_fill_small(%i: i64, %n: i64, %v: i32) -> (i64, i64) {
    %length = vm.const.i64 16
    %c0 = vm.const.i64 0
    %c1 = vm.const.i64 1
    %b = vm.call @new(%length) : (i64) -> !vm.buffer
    vm.buffer.fill.i32 %b, %c1, %c1, %v : i32 -> !vm.buffer
    vm.buffer.fill.i16 %b, %i, %n, %v : i32 -> !vm.buffer
    vm.buffer.fill.i8 %b, %i, %n, %v : i32 -> !vm.buffer
    %0 = vm.buffer.load.i64 %b[%c0] : !vm.buffer -> i64
    %1 = vm.buffer.load.i64 %b[%c1] : !vm.buffer -> i64
    vm.return %0, %1 : i64, i64
  }
  vm.export @buffer_fill_large
  vm.func @buffer_fill_large(%i: i64, %n: i64, %v: i64) -> (i64, i64, i64) {
    %length = vm.const.i64 24
    %c0 = vm.const.i64 0
    %c1 = vm.const.i64 1
    %c2 = vm.const.i64 2
    %b = vm.call @new(%length) : (i64) -> !vm.buffer
    vm.buffer.fill.i64 %b, %c1, %c1, %v : i64 -> !vm.buffer
    %d = vm.cast.si64.f64 %v : i64 -> f64
    vm.buffer.fill.f64 %b, %c2, %c1, %d : f64 -> !vm.buffer
    %f = vm.cast.si64.f32 %v : i64 -> f32
    vm.buffer.fill.f32 %b, %i, %n, %f : f32 -> !vm.buffer
    %0 = vm.buffer.load.i64 %b[%c0] : !vm.buffer -> i64
    %1 = vm.buffer.load.i64 %b[%c1] : !vm.buffer -> i64
    %2 = vm.buffer.load.i64 %b[%c2] : !vm.buffer -> i64
    vm.return %0, %1, %2 : i64, i64, i64
  }
  vm.export @buffer_copy
  vm.func @buffer_copy(%from: i64, %to: i64, %n: i64) -> (i64, i64) {
    %length = vm.const.i64 16
    %c0 = vm.const.i64 0
    %c1 = vm.const.i64 1
    %source = vm.const.ref.rodata @bytes : !vm.buffer
    %b = vm.call @new(%length) : (i64) -> !vm.buffer
    vm.buffer.copy %source, %from, %b, %to, %n : !vm.buffer -> !vm.buffer
    vm.buffer.copy %b, %c0, %b, %to, %n : !vm.buffer -> !vm.buffer
    %0 = vm.buffer.load.i64 %b[%c0] : !vm.buffer -> i64
    %1 = vm.buffer.load.i64 %b[%c1] : !vm.buffer -> i64
    vm.return %0, %1 : i64, i64
  }
  vm.export @buffer_compare
  vm.func @buffer_compare(%x: i64, %y: i64, %n: i64) -> i32 {
    %a = vm.const.ref.rodata @bytes : !vm.buffer
    %b = vm.const.ref.rodata @floats : !vm.buffer
    %0 = vm.buffer.compare %a, %x, %b, %y, %n : !vm.buffer, !vm.buffer
    vm.return %0 : i32
  }
  vm.export @buffer_clone
  vm.func @buffer_clone(%from: i64, %n: i64) -> (i64, i32, i32) {
    %source = vm.const.ref.rodata @bytes : !vm.buffer
    %alignment = vm.const.i32 16
    %c0 = vm.const.i64 0
    %c0_i32 = vm.const.i32 0
    %b = vm.buffer.clone %source, %from, %n, %alignment : !vm.buffer -> !vm.buffer
    %0 = vm.buffer.length %b : !vm.buffer -> i64
    %1 = vm.buffer.compare %source, %from, %b, %c0, %n : !vm.buffer, !vm.buffer
    vm.buffer.store.i8 %c0_i32, %b[%c0] : i32 -> !vm.buffer
    %2 = vm.buffer.load.i8.u %b[%c0] : !vm.buffer -> i32
    vm.return %0, %1, %2 : i64, i32, i32
  }
  vm.export @buffer_hash
  vm.func @buffer_hash(%from: i64, %n: i64) -> i64 {
    %source = vm.const.ref.rodata @bytes : !vm.buffer
    %0 = vm.buffer.hash %source, %from, %n : !vm.buffer -> i64
    vm.return %0 : i64
  }
  vm.export @buffer_read_only
  vm.func @buffer_read_only(%i: i64) -> i32 {
    %source = vm.const.ref.rodata @bytes : !vm.buffer
    %v = vm.const.i32 5
    vm.buffer.store.i32 %v, %source[%i] : i32 -> !vm.buffer
    vm.return %v : i32
  }
  vm.export @buffer_fill_read_only
  vm.func @buffer_fill_read_only(%i: i64) -> i32 {
    %source = vm.const.ref.rodata @bytes : !vm.buffer
    %v = vm.const.i32 5
    %n = vm.const.i64 1
    vm.buffer.fill.i8 %source, %i, %n, %v : i32 -> !vm.buffer
    vm.return %v : i32
  }
  vm.export @buffer_null
  vm.func @buffer_null(%i: i32) -> i64 {
    %null = vm.const.ref.zero : !vm.buffer
    %b = vm.const.ref.rodata @bytes : !vm.buffer
    %0 = vm.select.ref %i, %b, %null : !vm.buffer
    %1 = vm.buffer.length %0 : !vm.buffer -> i64
    vm.return %1 : i64
  }
  vm.export @buffer_null_load
  vm.func @buffer_null_load(%i: i32) -> i32 {
    %null = vm.const.ref.zero : !vm.buffer
    %b = vm.const.ref.rodata @bytes : !vm.buffer
    %c0 = vm.const.i64 0
    %0 = vm.select.ref %i, %b, %null : !vm.buffer
    %1 = vm.buffer.load.i32 %0[%c0] : !vm.buffer -> i32
    vm.return %1 : i32
  }
  vm.export @list_null
  vm.func @list_null(%i: i32) -> i32 {
    %null = vm.const.ref.zero : !vm.list<i32>
    %two = vm.const.i32 2
    %l = vm.list.alloc %two : (i32) -> !vm.list<i32>
    %0 = vm.select.ref %i, %l, %null : !vm.list<i32>
    %1 = vm.list.size %0 : (!vm.list<i32>) -> i32
    vm.return %1 : i32
  }

  // Narrow conversions that the compiler splits up.
  vm.export @narrow
  vm.func @narrow(%a: i32, %b: i64) -> (i64, i64, i64, i64, i32, i32, i32) {
    %0 = vm.ext.i8.i64.s %a : i32 -> i64
    %1 = vm.ext.i8.i64.u %a : i32 -> i64
    %2 = vm.ext.i16.i64.s %a : i32 -> i64
    %3 = vm.ext.i16.i64.u %a : i32 -> i64
    %4 = vm.trunc.i64.i8 %b : i64 -> i32
    %5 = vm.trunc.i64.i16 %b : i64 -> i32
    %6 = vm.trunc.i16.i8 %a : i32 -> i32
    vm.return %0, %1, %2, %3, %4, %5, %6 : i64, i64, i64, i64, i32, i32, i32
  }
  vm.export @constants
  vm.func @constants(%i: i32) -> (i32, i32, i64, i64, i32, i64, i32) {
    %0 = vm.const.i32 -2147483648
    %1 = vm.const.i32.zero
    %2 = vm.const.i64 -9223372036854775808
    %3 = vm.const.i64.zero
    %4 = vm.const.f32 -1.5e-30
    %5 = vm.bitcast.f32.i32 %4 : f32 -> i32
    %6 = vm.const.f64 -1.5e-300
    %7 = vm.bitcast.f64.i64 %6 : f64 -> i64
    %8 = vm.const.f32 0x7F800000
    %9 = vm.bitcast.f32.i32 %8 : f32 -> i32
    vm.return %0, %1, %2, %3, %5, %7, %9 : i32, i32, i64, i64, i32, i64, i32
  }
}
