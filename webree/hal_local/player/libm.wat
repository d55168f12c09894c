;; The functions of libm that the compiler's libraries import and that need neither memory nor tables of numbers. They
;; are linked as `env.<name>`; both engines use this file. Results are those of C99 with annex F: NaN, infinities, -0 and
;; denormal numbers included. The larger f64 functions are the host's (host_math.py, JavaScript's Math).
(module
  ;; fmax, fmin: a NaN counts as missing; -0 is less than +0.
  (func (export "fmaxf") (param $x f32) (param $y f32) (result f32)
    (select (local.get $y)
      (select (local.get $x) (f32.max (local.get $x) (local.get $y)) (f32.ne (local.get $y) (local.get $y)))
      (f32.ne (local.get $x) (local.get $x))))
  (func (export "fmax") (param $x f64) (param $y f64) (result f64)
    (select (local.get $y)
      (select (local.get $x) (f64.max (local.get $x) (local.get $y)) (f64.ne (local.get $y) (local.get $y)))
      (f64.ne (local.get $x) (local.get $x))))
  (func (export "fminf") (param $x f32) (param $y f32) (result f32)
    (select (local.get $y)
      (select (local.get $x) (f32.min (local.get $x) (local.get $y)) (f32.ne (local.get $y) (local.get $y)))
      (f32.ne (local.get $x) (local.get $x))))
  (func (export "fmin") (param $x f64) (param $y f64) (result f64)
    (select (local.get $y)
      (select (local.get $x) (f64.min (local.get $x) (local.get $y)) (f64.ne (local.get $y) (local.get $y)))
      (f64.ne (local.get $x) (local.get $x))))

  ;; round: halves away from zero. x - trunc(x) is exact.
  (func (export "roundf") (param $x f32) (result f32)
    (local $whole f32)
    (local.set $whole (f32.trunc (local.get $x)))
    (if (f32.ge (f32.abs (f32.sub (local.get $x) (local.get $whole))) (f32.const 0.5))
      (then (local.set $whole (f32.add (local.get $whole) (f32.copysign (f32.const 1) (local.get $x))))))
    (local.get $whole))
  (func (export "round") (param $x f64) (result f64)
    (local $whole f64)
    (local.set $whole (f64.trunc (local.get $x)))
    (if (f64.ge (f64.abs (f64.sub (local.get $x) (local.get $whole))) (f64.const 0.5))
      (then (local.set $whole (f64.add (local.get $whole) (f64.copysign (f64.const 1) (local.get $x))))))
    (local.get $whole))

  ;; roundeven, rint, nearbyint: the rounding mode is always to nearest even.
  (func $nearestf (export "roundevenf") (export "rintf") (export "nearbyintf") (param $x f32) (result f32)
    (f32.nearest (local.get $x)))
  (func $nearest (export "roundeven") (export "rint") (export "nearbyint") (param $x f64) (result f64)
    (f64.nearest (local.get $x)))

  ;; fmod: exact long division of the mantissas, eleven bits of the quotient at a time.
  (func $fmod (export "fmod") (param $x f64) (param $y f64) (result f64)
    (local $first i64) (local $second i64) (local $exponent i64) (local $steps i64) (local $shift i64)
    (local.set $first (i64.and (i64.reinterpret_f64 (local.get $x)) (i64.const 0x7fffffffffffffff)))
    (local.set $second (i64.and (i64.reinterpret_f64 (local.get $y)) (i64.const 0x7fffffffffffffff)))
    (if (i32.or (i32.or (i64.eqz (local.get $second)) (f64.ne (local.get $y) (local.get $y)))
                (i64.ge_u (local.get $first) (i64.const 0x7ff0000000000000)))
      (then (return (f64.add (f64.const nan) (f64.add (local.get $x) (local.get $y))))))
    (if (i64.lt_u (local.get $first) (local.get $second)) (then (return (local.get $x))))
    (local.set $exponent (call $exponent (local.get $second)))
    (local.set $steps (i64.sub (call $exponent (local.get $first)) (local.get $exponent)))
    (local.set $first (call $mantissa (local.get $first)))
    (local.set $second (call $mantissa (local.get $second)))
    (local.set $first (i64.rem_u (local.get $first) (local.get $second)))
    (block $done
      (loop $again
        (br_if $done (i64.eqz (local.get $steps)))
        (local.set $shift (select (local.get $steps) (i64.const 11) (i64.lt_u (local.get $steps) (i64.const 11))))
        (local.set $first (i64.rem_u (i64.shl (local.get $first) (local.get $shift)) (local.get $second)))
        (local.set $steps (i64.sub (local.get $steps) (local.get $shift)))
        (br $again)))
    (if (i64.eqz (local.get $first)) (then (return (f64.copysign (f64.const 0) (local.get $x)))))
    ;; back to a number: the mantissa's first bit to bit 52, or as far as the smallest exponent allows
    (local.set $shift (i64.sub (i64.clz (local.get $first)) (i64.const 11)))
    (if (i64.ge_u (local.get $shift) (local.get $exponent))
      (then (local.set $first (i64.shl (local.get $first) (i64.sub (local.get $exponent) (i64.const 1)))))
      (else
        (local.set $first (i64.or
          (i64.and (i64.shl (local.get $first) (local.get $shift)) (i64.const 0xfffffffffffff))
          (i64.shl (i64.sub (local.get $exponent) (local.get $shift)) (i64.const 52))))))
    (f64.copysign (f64.reinterpret_i64 (local.get $first)) (local.get $x)))

  ;; of the bits of a finite number that is not negative: denormal numbers have exponent 1 and no hidden bit
  (func $exponent (param $bits i64) (result i64)
    (local.set $bits (i64.shr_u (local.get $bits) (i64.const 52)))
    (i64.add (local.get $bits) (i64.extend_i32_u (i64.eqz (local.get $bits)))))
  (func $mantissa (param $bits i64) (result i64)
    (i64.or (i64.and (local.get $bits) (i64.const 0xfffffffffffff))
      (i64.shl (i64.extend_i32_u (i64.ge_u (local.get $bits) (i64.const 0x10000000000000))) (i64.const 52))))

  ;; fmodf: in f64, where a quotient of less than 29 bits times y is exact; the remainder is a number of f32.
  (func (export "fmodf") (param $x f32) (param $y f32) (result f32)
    (local $first f64) (local $second f64) (local $rest f64)
    (local.set $first (f64.promote_f32 (f32.abs (local.get $x))))
    (local.set $second (f64.promote_f32 (f32.abs (local.get $y))))
    (local.set $rest (f64.div (local.get $first) (local.get $second)))
    (if (i32.eqz (f64.lt (local.get $rest) (f64.const 536870912)))
      (then (return (f32.demote_f64 (call $fmod (f64.promote_f32 (local.get $x)) (f64.promote_f32 (local.get $y)))))))
    (if (f64.eq (local.get $second) (f64.const inf)) (then (return (local.get $x))))
    (local.set $rest (f64.sub (local.get $first) (f64.mul (f64.trunc (local.get $rest)) (local.get $second))))
    ;; the quotient was rounded up to a whole number
    (if (f64.lt (local.get $rest) (f64.const 0))
      (then (local.set $rest (f64.add (local.get $rest) (local.get $second)))))
    (f32.copysign (f32.demote_f64 (local.get $rest)) (local.get $x)))

  ;; log10f: in f64. x = 2^e * m with m in [sqrt(1/2), sqrt(2)); ln m = 2 atanh(s), s = (m - 1) / (m + 1), |s| < 0.172:
  ;; ten terms of the series are good to 2e-16 of it.
  (func (export "log10f") (param $x f32) (result f32)
    (local $bits i64) (local $exponent i64) (local $m f64) (local $s f64) (local $t f64)
    (if (i32.eqz (f32.gt (local.get $x) (f32.const 0)))
      (then (return (select (f32.const -inf) (f32.add (local.get $x) (f32.const nan))
                            (f32.eq (local.get $x) (f32.const 0))))))
    (if (f32.eq (local.get $x) (f32.const inf)) (then (return (local.get $x))))
    (local.set $bits (i64.reinterpret_f64 (f64.promote_f32 (local.get $x))))
    ;; 0x3fe6a09e667f3bcd is sqrt(1/2)
    (local.set $exponent (i64.shr_s (i64.sub (local.get $bits) (i64.const 0x3fe6a09e667f3bcd)) (i64.const 52)))
    (local.set $m (f64.reinterpret_i64
      (i64.sub (local.get $bits) (i64.shl (local.get $exponent) (i64.const 52)))))
    (local.set $s (f64.div (f64.sub (local.get $m) (f64.const 1)) (f64.add (local.get $m) (f64.const 1))))
    (local.set $t (f64.mul (local.get $s) (local.get $s)))
    (f32.demote_f64 (f64.add
      (f64.mul (f64.convert_i64_s (local.get $exponent)) (f64.const 0.30102999566398120))
      (f64.mul (f64.mul (f64.const 0.86858896380650366) (local.get $s))
        (f64.add (f64.const 1.0) (f64.mul (local.get $t)
        (f64.add (f64.const 0.3333333333333333) (f64.mul (local.get $t)
        (f64.add (f64.const 0.2) (f64.mul (local.get $t)
        (f64.add (f64.const 0.14285714285714285) (f64.mul (local.get $t)
        (f64.add (f64.const 0.1111111111111111) (f64.mul (local.get $t)
        (f64.add (f64.const 0.09090909090909091) (f64.mul (local.get $t)
        (f64.add (f64.const 0.07692307692307693) (f64.mul (local.get $t)
        (f64.add (f64.const 0.06666666666666667) (f64.mul (local.get $t)
        (f64.add (f64.const 0.058823529411764705) (f64.mul (local.get $t)
        (f64.const 0.05263157894736842))))))))))))))))))))))))
