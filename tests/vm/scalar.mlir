// Programs in arith, math, scf and util on scalars, compiled through the whole pipeline for a machine without devices.
func.func @polynomial(%x: i32, %y: i64) -> (i32, i64) {
  %c7 = arith.constant 7 : i32
  %c9 = arith.constant 9 : i64
  %0 = arith.muli %x, %c7 : i32
  %1 = arith.addi %0, %x : i32
  %2 = arith.muli %y, %c9 : i64
  %3 = arith.extsi %1 : i32 to i64
  %4 = arith.subi %2, %3 : i64
  return %1, %4 : i32, i64
}
func.func @shifts(%x: i32, %y: i32) -> (i32, i32, i32) {
  %c31 = arith.constant 31 : i32
  %n = arith.andi %y, %c31 : i32
  %0 = arith.shli %x, %n : i32
  %1 = arith.shrsi %x, %n : i32
  %2 = arith.shrui %x, %n : i32
  return %0, %1, %2 : i32, i32, i32
}
func.func @min_max(%x: i64, %y: i64) -> (i64, i64, i64, i64) {
  %0 = arith.minsi %x, %y : i64
  %1 = arith.maxui %x, %y : i64
  %2 = arith.maxsi %x, %y : i64
  %3 = arith.minui %x, %y : i64
  return %0, %1, %2, %3 : i64, i64, i64, i64
}
func.func @compare(%x: i32, %y: i32) -> (i32, i32) {
  %0 = arith.cmpi sle, %x, %y : i32
  %1 = arith.cmpi ugt, %x, %y : i32
  %2 = arith.select %0, %x, %y : i32
  %3 = arith.extui %1 : i1 to i32
  return %2, %3 : i32, i32
}
func.func @narrow_types(%x: i32) -> (i32, i32, i64) {
  %0 = arith.trunci %x : i32 to i8
  %1 = arith.extsi %0 : i8 to i32
  %2 = arith.trunci %x : i32 to i16
  %3 = arith.extui %2 : i16 to i32
  %4 = arith.extsi %2 : i16 to i64
  return %1, %3, %4 : i32, i32, i64
}
func.func @float_chain(%x: i32, %y: i32) -> (i32, i32) {
  %0 = arith.sitofp %x : i32 to f32
  %1 = arith.uitofp %y : i32 to f32
  %2 = arith.addf %0, %1 : f32
  %3 = arith.mulf %2, %0 : f32
  %4 = arith.subf %3, %1 : f32
  // 0 / 0 would be a NaN, whose sign nothing defines.
  %one = arith.constant 1.0 : f32
  %size = math.absf %2 : f32
  %divisor = arith.addf %size, %one : f32
  %5 = arith.divf %4, %divisor : f32
  %6 = math.absf %5 : f32
  %7 = math.sqrt %6 : f32
  %8 = math.floor %7 : f32
  %9 = arith.bitcast %5 : f32 to i32
  %10 = arith.bitcast %8 : f32 to i32
  return %9, %10 : i32, i32
}
func.func @double_chain(%x: i64, %y: i64) -> (i64, i64) {
  %0 = arith.sitofp %x : i64 to f64
  %1 = arith.uitofp %y : i64 to f64
  %2 = arith.mulf %0, %1 : f64
  %3 = math.ceil %2 : f64
  %4 = arith.cmpf olt, %0, %1 : f64
  %5 = arith.select %4, %2, %0 : f64
  %7 = arith.bitcast %3 : f64 to i64
  %8 = arith.bitcast %5 : f64 to i64
  return %7, %8 : i64, i64
}
func.func @sum_to(%n: i32) -> (i32, i64) {
  %mask = arith.constant 63 : i32
  %limit = arith.andi %n, %mask : i32
  %zero = arith.constant 0 : i32
  %one = arith.constant 1 : i32
  %zero64 = arith.constant 0 : i64
  %r:2 = scf.for %i = %zero to %limit step %one iter_args(%a = %zero, %b = %zero64) -> (i32, i64) : i32 {
    %0 = arith.xori %a, %i : i32
    %1 = arith.extsi %0 : i32 to i64
    %2 = arith.addi %b, %1 : i64
    scf.yield %0, %2 : i32, i64
  }
  return %r#0, %r#1 : i32, i64
}
func.func @greatest_common_divisor(%x: i32, %y: i32) -> i32 {
  %mask = arith.constant 4095 : i32
  %a = arith.andi %x, %mask : i32
  %b = arith.andi %y, %mask : i32
  %zero = arith.constant 0 : i32
  %r:2 = scf.while (%p = %a, %q = %b) : (i32, i32) -> (i32, i32) {
    %go = arith.cmpi ne, %q, %zero : i32
    scf.condition(%go) %p, %q : i32, i32
  } do {
  ^bb0(%p: i32, %q: i32):
    %m = arith.remui %p, %q : i32
    scf.yield %q, %m : i32, i32
  }
  return %r#0 : i32
}
func.func @choose(%n: i32, %x: i32) -> i32 {
  %c0 = arith.constant 0 : i32
  %c10 = arith.constant 10 : i32
  %neg = arith.cmpi slt, %n, %c0 : i32
  %r = scf.if %neg -> i32 {
    %0 = arith.subi %c0, %x : i32
    scf.yield %0 : i32
  } else {
    %big = arith.cmpi sgt, %n, %c10 : i32
    %1 = scf.if %big -> i32 {
      %2 = arith.addi %x, %n : i32
      scf.yield %2 : i32
    } else {
      %3 = arith.muli %x, %n : i32
      scf.yield %3 : i32
    }
    scf.yield %1 : i32
  }
  return %r : i32
}
func.func @switch(%n: i32, %x: i64) -> i64 {
  %i = arith.index_castui %n : i32 to index
  %r = scf.index_switch %i -> i64
  case 2 {
    %c = arith.constant 20 : i64
    scf.yield %c : i64
  }
  case 5 {
    %0 = arith.addi %x, %x : i64
    scf.yield %0 : i64
  }
  default {
    scf.yield %x : i64
  }
  return %r : i64
}
util.global private mutable @counter = 3 : i32
util.func public @count(%by: i32) -> i32 {
  %0 = util.global.load @counter : i32
  %1 = arith.addi %0, %by : i32
  util.global.store %1, @counter : i32
  util.return %1 : i32
}
func.func private @callee(%x: i32, %y: i64) -> (i64, i32) attributes {noinline} {
  %0 = arith.extsi %x : i32 to i64
  %1 = arith.addi %0, %y : i64
  %2 = arith.trunci %1 : i64 to i32
  return %1, %2 : i64, i32
}
func.func @caller(%x: i32, %y: i64) -> (i64, i32) {
  %0:2 = call @callee(%x, %y) : (i32, i64) -> (i64, i32)
  %1:2 = call @callee(%0#1, %0#0) : (i32, i64) -> (i64, i32)
  return %1#0, %1#1 : i64, i32
}
func.func @matrix_indices(%m: i32, %n: i32) -> i64 {
  %mask = arith.constant 7 : i32
  %m7 = arith.andi %m, %mask : i32
  %n7 = arith.andi %n, %mask : i32
  %rows = arith.index_cast %m7 : i32 to index
  %columns = arith.index_cast %n7 : i32 to index
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0 : i64
  %r = scf.for %i = %c0 to %rows step %c1 iter_args(%a = %zero) -> i64 {
    %s = scf.for %j = %c0 to %columns step %c1 iter_args(%b = %a) -> i64 {
      %0 = arith.muli %i, %columns : index
      %1 = arith.addi %0, %j : index
      %2 = arith.index_cast %1 : index to i64
      %even = arith.constant 2 : i64
      %3 = arith.remui %2, %even : i64
      %4 = arith.cmpi eq, %3, %zero : i64
      %5 = scf.if %4 -> i64 {
        %6 = arith.addi %b, %2 : i64
        scf.yield %6 : i64
      } else {
        scf.yield %b : i64
      }
      scf.yield %5 : i64
    }
    scf.yield %s : i64
  }
  return %r : i64
}
