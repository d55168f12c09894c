;; The player: plays a command stream (webree/hal_local/stream.py) inside the engine's linear memory, alone or together
;; with other threads. One crossing from the host plays a whole stream. The same file serves wasmtime and browsers.
;;
;; IMPORTS
;;   env.memory                     the engine's memory; in a browser with several threads the host patches this import
;;                                  to a shared one (flags 3 and a maximum). Where `pause` below is not 0, or with one
;;                                  thread, it is an unshared one, although several instances may have the same bytes.
;;   env.__indirect_function_table  the table that the libraries of this thread are linked into.
;; EXPORTS (all i32)
;;   play(words, end, control, thread, thread_count) -> status
;;        Plays the words in [words, end). Thread 0 returns when everything is done, the others when nothing is left
;;        for them. With thread_count 1 there are no atomics. With more, the ticket and done counters are 0 before any
;;        thread begins, and no thread may be in `play` any more when the words or the counters are written again.
;;   lead(words, end, control, thread_count) -> status
;;        Thread 0 of threads that sit in `serve`: resets the counters, wakes the others, plays, and waits until none
;;        of them looks at the words any more. It never waits for a thread that has no work in hand.
;;   serve(control, thread, thread_count) -> 0
;;        Thread 1..: plays every stream of `lead`; returns only after `dismiss`.
;;   dismiss(control)               makes `serve` return in all threads (write 0 to control+4 before serving again).
;;   trapped(control, thread)       after `play`, `lead` or `serve` trapped in a thread: fails the stream with status 13
;;                                  (INTERNAL) at the command that the thread was playing, and stops the others.
;;   A status is 0, a kernel's own status, 13 for a trap, or -1: a kernel overflowed its stack.
;;
;; CONTROL BLOCK, 512 bytes, 64-aligned, zero at first except for the fields marked H, which the host writes:
;;     0 i32 generation, odd while a stream is open       4 i32 quit
;;     8 i32 words        12 i32 end                     of the open stream, for `serve`
;;    16 i32 H libraries: address of a table of u32: library identifier -> address of the library's structure, as its
;;             iree_hal_executable_library_query returned it; the player reads the kernels' table indices,
;;             workgroup sizes and local memory sizes there
;;    20 i32 H address of the first thread block          24 i32 H bytes from one thread block to the next
;;    28 i32 H offset of the local memory in a thread block
;;    32 i32 H pause: 0, or a table index of a function (i32), which waits instead of memory.atomic.wait32:
;;             n >= 0: for a moment, the n-th time in this wait; -1: wake all threads that sleep;
;;             -2 - g: sleep while the low 24 bits of the generation are g
;;    64 i64 ticket: work items taken                   128 i64 done: work items finished
;;   136 i32 sleepers at barriers                       140 i32 idle threads in `serve`
;;   192 i32 active threads in `serve`
;;   196 i32 failure: the first status that was not 0   200 i32 address of the command that failed
;;   204 i32 1 if the failure was a trap
;;   256 the libraries' environment structure (80 bytes of zeros)
;; THREAD BLOCK, one per thread, 16-aligned:
;;     0 i32 address of the command being played          16 dispatch state (36 bytes)   64 workgroup state (24 bytes)
;;   128 i64 H guard 0x6b636174735f6277: below it nothing of the stack may be written
;;   136 .. the stack, growing down from wherever the host points __stack_pointer; then the local memory
;;
;; HOW THREADS SHARE WORK. The workgroups of all dispatches (and chunks of copies and fills) of a stream are numbered
;; through; a thread takes the next numbers from one counter that never goes back, and only numbers before the next
;; barrier. So no thread holds work that it may not do yet, a thread that sleeps holds up nobody, and a dispatch of one
;; workgroup costs one compare-exchange. A barrier waits until as many items are done as were numbered before it.
;; An indirect dispatch has thread_count items whatever its size: its counts may be overwritten after the next barrier,
;; when a slow thread still walks past it.
(module
  (import "env" "memory" (memory 1))
  (import "env" "__indirect_function_table" (table 1 funcref))
  (type $kernel (func (param i32 i32 i32) (result i32)))
  (type $pause (func (param i32)))

  ;; The host's way to wait, if it has one.
  (func $pause (param $control i32) (param $what i32) (result i32)
    (if (i32.eqz (i32.load offset=32 (local.get $control))) (then (return (i32.const 0))))
    (call_indirect (type $pause) (local.get $what) (i32.load offset=32 (local.get $control)))
    (i32.const 1))

  (func $wake (param $control i32)
    (if (i32.atomic.load offset=140 (local.get $control))
      (then
        (if (i32.eqz (call $pause (local.get $control) (i32.const -1)))
          (then (drop (memory.atomic.notify (local.get $control) (i32.const -1))))))))

  ;; Number of work items of a command.
  (func $items (param $command i32) (param $thread_count i32) (result i64)
    (local $length i32)
    (block $bytes
      (block $copy
        (block $fill
          (block $indirect
            (block $direct
              (block $barrier
                (br_table $barrier $direct $indirect $copy $fill $barrier
                  (i32.load8_u (local.get $command))))
              (return (i64.const 0)))
            (return (i64.mul (i64.mul
              (i64.load32_u offset=20 (local.get $command))
              (i64.load32_u offset=24 (local.get $command)))
              (i64.load32_u offset=28 (local.get $command)))))
          (return (i64.extend_i32_u (local.get $thread_count))))
        (local.set $length (i32.load offset=8 (local.get $command)))
        (br $bytes))
      (local.set $length (i32.load offset=12 (local.get $command))))
    ;; chunks of 256 KiB
    (i64.shr_u (i64.add (i64.extend_i32_u (local.get $length)) (i64.const 0x3ffff)) (i64.const 18)))

  ;; Items [first, first + count) of a command.
  (func $perform (param $command i32) (param $block i32) (param $control i32) (param $thread_count i32)
                 (param $first i64) (param $count i64) (result i32)
    (local $counts i32) (local $x i32) (local $y i32) (local $z i32) (local $all i64) (local $threads i64)
    (i32.store (local.get $block) (local.get $command))
    (block $fill
      (block $copy
        (block $indirect
          (block $direct
            (br_table $direct $direct $indirect $copy $fill (i32.load8_u (local.get $command))))
          (return (call $dispatch (local.get $command) (local.get $block) (local.get $control)
            (i32.load offset=20 (local.get $command))
            (i32.load offset=24 (local.get $command))
            (i32.load offset=28 (local.get $command))
            (local.get $first) (i64.add (local.get $first) (local.get $count)))))
        (local.set $counts (i32.load offset=20 (local.get $command)))
        (local.set $x (i32.load (local.get $counts)))
        (local.set $y (i32.load offset=4 (local.get $counts)))
        (local.set $z (i32.load offset=8 (local.get $counts)))
        (local.set $all (i64.mul (i64.mul (i64.extend_i32_u (local.get $x)) (i64.extend_i32_u (local.get $y)))
                                 (i64.extend_i32_u (local.get $z))))
        (if (i64.eqz (local.get $all)) (then (return (i32.const 0))))
        ;; item k of n: workgroups [all * k / n, all * (k + 1) / n)
        (local.set $threads (i64.extend_i32_u (local.get $thread_count)))
        (return (call $dispatch (local.get $command) (local.get $block) (local.get $control)
          (local.get $x) (local.get $y) (local.get $z)
          (i64.div_u (i64.mul (local.get $all) (local.get $first)) (local.get $threads))
          (i64.div_u (i64.mul (local.get $all) (i64.add (local.get $first) (local.get $count)))
                     (local.get $threads)))))
      (call $copy (local.get $command) (local.get $first) (local.get $count))
      (return (i32.const 0)))
    (call $fill (local.get $command) (local.get $first) (local.get $count))
    (i32.const 0))

  ;; Workgroups [first, end) of a dispatch, x fastest.
  (func $dispatch (param $command i32) (param $block i32) (param $control i32)
                  (param $count_x i32) (param $count_y i32) (param $count_z i32)
                  (param $first i64) (param $end i64) (result i32)
    (local $library i32) (local $export i32) (local $attributes i32) (local $function i32) (local $address i32)
    (local $state i32) (local $workgroup i32) (local $environment i32)
    (local $x i32) (local $y i32) (local $z i32) (local $row i64) (local $status i32)
    (local.set $library (i32.load (i32.add (i32.load offset=16 (local.get $control))
                                           (i32.shl (i32.load offset=4 (local.get $command)) (i32.const 2)))))
    (local.set $export (i32.load offset=8 (local.get $command)))
    (local.set $function (i32.load (i32.add (i32.load offset=16 (local.get $library))
                                            (i32.shl (local.get $export) (i32.const 2)))))
    (local.set $state (i32.add (local.get $block) (i32.const 16)))
    (local.set $workgroup (i32.add (local.get $block) (i32.const 64)))
    (local.set $environment (i32.add (local.get $control) (i32.const 256)))
    ;; workgroup sizes and the local memory, from the export's attributes
    (i64.store (local.get $state) (i64.const 0x0000000100000001))
    (i32.store16 offset=8 (local.get $state) (i32.const 1))
    (i32.store offset=20 (local.get $workgroup) (i32.const 0))
    (if (i32.load offset=20 (local.get $library))
      (then
        (local.set $attributes (i32.add (i32.load offset=20 (local.get $library))
                                        (i32.shl (local.get $export) (i32.const 6))))
        (i64.store (local.get $state) (i64.load offset=12 (local.get $attributes)))
        (i32.store16 offset=8 (local.get $state) (i32.load16_u offset=20 (local.get $attributes)))
        (i32.store offset=20 (local.get $workgroup)
          (i32.shl (i32.load16_u offset=8 (local.get $attributes)) (i32.const 12)))))
    (i32.store16 offset=10 (local.get $state) (i32.load offset=12 (local.get $command)))
    (i32.store offset=12 (local.get $state) (local.get $count_x))
    (i32.store offset=16 (local.get $state) (local.get $count_y))
    (i32.store16 offset=20 (local.get $state) (local.get $count_z))
    (i32.store8 offset=22 (local.get $state) (i32.const 1))
    (i32.store8 offset=23 (local.get $state) (i32.load offset=16 (local.get $command)))
    ;; constants, addresses and lengths are read where they lie in the stream
    (local.set $address (i32.add (local.get $command) (i32.const 32)))
    (i32.store offset=24 (local.get $state) (local.get $address))
    (local.set $address (i32.add (local.get $address)
                                 (i32.shl (i32.load offset=12 (local.get $command)) (i32.const 2))))
    (i32.store offset=28 (local.get $state) (local.get $address))
    (local.set $address (i32.add (local.get $address)
                                 (i32.shl (i32.load offset=16 (local.get $command)) (i32.const 2))))
    (i32.store offset=32 (local.get $state) (local.get $address))
    (i32.store offset=10 align=2 (local.get $workgroup) (i32.const 0))
    (i32.store offset=12 (local.get $workgroup) (i32.const 0))
    (i32.store offset=16 (local.get $workgroup)
      (i32.add (local.get $block) (i32.load offset=28 (local.get $control))))
    (if (i64.ne (local.get $first) (i64.const 0))
      (then
        (local.set $x (i32.wrap_i64 (i64.rem_u (local.get $first) (i64.extend_i32_u (local.get $count_x)))))
        (local.set $row (i64.div_u (local.get $first) (i64.extend_i32_u (local.get $count_x))))
        (local.set $y (i32.wrap_i64 (i64.rem_u (local.get $row) (i64.extend_i32_u (local.get $count_y)))))
        (local.set $z (i32.wrap_i64 (i64.div_u (local.get $row) (i64.extend_i32_u (local.get $count_y)))))))
    (block $out
      (loop $next
        (br_if $out (i64.ge_u (local.get $first) (local.get $end)))
        (i32.store (local.get $workgroup) (local.get $x))
        (i32.store offset=4 (local.get $workgroup) (local.get $y))
        (i32.store16 offset=8 (local.get $workgroup) (local.get $z))
        (local.set $status (call_indirect (type $kernel)
          (local.get $environment) (local.get $state) (local.get $workgroup) (local.get $function)))
        (br_if $out (local.get $status))
        (local.set $first (i64.add (local.get $first) (i64.const 1)))
        (local.set $x (i32.add (local.get $x) (i32.const 1)))
        (if (i32.eq (local.get $x) (local.get $count_x))
          (then
            (local.set $x (i32.const 0))
            (local.set $y (i32.add (local.get $y) (i32.const 1)))
            (if (i32.eq (local.get $y) (local.get $count_y))
              (then
                (local.set $y (i32.const 0))
                (local.set $z (i32.add (local.get $z) (i32.const 1)))))))
        (br $next)))
    (if (i64.ne (i64.load offset=128 (local.get $block)) (i64.const 0x6b636174735f6277))
      (then (return (i32.const -1))))
    (local.get $status))

  (func $copy (param $command i32) (param $first i64) (param $count i64)
    (local $start i32) (local $end i64)
    (local.set $start (i32.wrap_i64 (i64.shl (local.get $first) (i64.const 18))))
    (local.set $end (call $chunk_end (i32.load offset=12 (local.get $command)) (local.get $first) (local.get $count)))
    (memory.copy
      (i32.add (i32.load offset=8 (local.get $command)) (local.get $start))
      (i32.add (i32.load offset=4 (local.get $command)) (local.get $start))
      (i32.sub (i32.wrap_i64 (local.get $end)) (local.get $start))))

  (func $fill (param $command i32) (param $first i64) (param $count i64)
    (local $start i32) (local $address i32) (local $end i32) (local $size i32) (local $pattern i64)
    (local.set $start (i32.wrap_i64 (i64.shl (local.get $first) (i64.const 18))))
    (local.set $address (i32.add (i32.load offset=4 (local.get $command)) (local.get $start)))
    (local.set $end (i32.add (i32.load offset=4 (local.get $command)) (i32.wrap_i64
      (call $chunk_end (i32.load offset=8 (local.get $command)) (local.get $first) (local.get $count)))))
    (local.set $size (i32.load offset=12 (local.get $command)))
    ;; the pattern repeated to eight bytes; a chunk begins with a whole pattern
    (local.set $pattern (i64.load offset=16 align=4 (local.get $command)))
    (if (i32.eq (local.get $size) (i32.const 1))
      (then (local.set $pattern (i64.mul (i64.and (local.get $pattern) (i64.const 0xff))
                                         (i64.const 0x0101010101010101)))))
    (if (i32.eq (local.get $size) (i32.const 2))
      (then (local.set $pattern (i64.mul (i64.and (local.get $pattern) (i64.const 0xffff))
                                         (i64.const 0x0001000100010001)))))
    (if (i32.eq (local.get $size) (i32.const 4))
      (then (local.set $pattern (i64.mul (i64.and (local.get $pattern) (i64.const 0xffffffff))
                                         (i64.const 0x0000000100000001)))))
    (if (i64.eq (local.get $pattern) (i64.rotl (local.get $pattern) (i64.const 8)))
      (then
        (memory.fill (local.get $address) (i32.wrap_i64 (local.get $pattern))
                     (i32.sub (local.get $end) (local.get $address)))
        (return)))
    (block $tail
      (loop $next
        (br_if $tail (i32.lt_u (i32.sub (local.get $end) (local.get $address)) (i32.const 8)))
        (i64.store align=1 (local.get $address) (local.get $pattern))
        (local.set $address (i32.add (local.get $address) (i32.const 8)))
        (br $next)))
    (block $out
      (loop $next
        (br_if $out (i32.eq (local.get $address) (local.get $end)))
        (i64.store8 (local.get $address) (local.get $pattern))
        (local.set $pattern (i64.shr_u (local.get $pattern) (i64.const 8)))
        (local.set $address (i32.add (local.get $address) (i32.const 1)))
        (br $next))))

  (func $chunk_end (param $length i32) (param $first i64) (param $count i64) (result i64)
    (local $end i64) (local $all i64)
    (local.set $end (i64.shl (i64.add (local.get $first) (local.get $count)) (i64.const 18)))
    (local.set $all (i64.extend_i32_u (local.get $length)))
    (select (local.get $all) (local.get $end) (i64.lt_u (local.get $all) (local.get $end))))

  (func $play (export "play") (param $words i32) (param $end i32) (param $control i32) (param $thread i32)
              (param $thread_count i32) (result i32)
    (local $block i32) (local $command i32) (local $status i32) (local $items i64)
    (local $start i64) (local $limit i64) (local $ticket i64) (local $count i64)
    (local.set $block (i32.add (i32.load offset=20 (local.get $control))
                               (i32.mul (local.get $thread) (i32.load offset=24 (local.get $control)))))
    (local.set $command (local.get $words))
    (block $over
      (loop $next
        (br_if $over (i32.ge_u (local.get $command) (local.get $end)))
        (local.set $items (call $items (local.get $command) (local.get $thread_count)))
        (if (i32.eq (local.get $thread_count) (i32.const 1))
          (then
            (if (i64.ne (local.get $items) (i64.const 0))
              (then
                (local.set $status (call $perform (local.get $command) (local.get $block) (local.get $control)
                  (i32.const 1) (i64.const 0) (local.get $items)))
                (if (local.get $status)
                  (then (return (call $fail (local.get $control) (local.get $status) (local.get $command))))))))
          (else
            (if (i32.eq (i32.load8_u (local.get $command)) (i32.const 5))
              (then
                (local.set $status (call $await (local.get $control) (local.get $start)))
                (if (local.get $status) (then (return (local.get $status))))))
            (local.set $limit (i64.add (local.get $start) (local.get $items)))
            (block $taken
              (loop $take
                (local.set $ticket (i64.atomic.load offset=64 (local.get $control)))
                (br_if $taken (i64.ge_s (local.get $ticket) (local.get $limit)))
                ;; a quarter of a fair share at once: few exchanges, and an even end
                (local.set $count (i64.div_u (i64.sub (local.get $limit) (local.get $ticket))
                                             (i64.extend_i32_u (i32.shl (local.get $thread_count) (i32.const 2)))))
                (if (i64.eqz (local.get $count)) (then (local.set $count (i64.const 1))))
                (br_if $take (i64.ne (local.get $ticket)
                  (i64.atomic.rmw.cmpxchg offset=64 (local.get $control) (local.get $ticket)
                    (i64.add (local.get $ticket) (local.get $count)))))
                (local.set $status (call $perform (local.get $command) (local.get $block) (local.get $control)
                  (local.get $thread_count) (i64.sub (local.get $ticket) (local.get $start)) (local.get $count)))
                (if (local.get $status)
                  (then (return (call $fail (local.get $control) (local.get $status) (local.get $command)))))
                (drop (i64.atomic.rmw.add offset=128 (local.get $control) (local.get $count)))
                (if (i32.atomic.load offset=136 (local.get $control))
                  (then (drop (memory.atomic.notify offset=128 (local.get $control) (i32.const -1)))))
                (local.set $status (i32.atomic.load offset=196 (local.get $control)))
                (if (local.get $status) (then (return (local.get $status))))
                (br $take)))
            (local.set $start (local.get $limit))))
        (local.set $command (i32.add (local.get $command)
          (i32.shl (i32.shr_u (i32.load (local.get $command)) (i32.const 8)) (i32.const 2))))
        (br $next)))
    (if (i32.eq (local.get $thread_count) (i32.const 1)) (then (return (i32.const 0))))
    (if (local.get $thread) (then (return (i32.atomic.load offset=196 (local.get $control)))))
    (call $await (local.get $control) (local.get $start)))

  ;; Wait until `target` items are done; the failure, if there is one.
  (func $await (param $control i32) (param $target i64) (result i32)
    (local $spins i32) (local $status i32) (local $done i64)
    (loop $again
      (local.set $status (i32.atomic.load offset=196 (local.get $control)))
      (if (local.get $status) (then (return (local.get $status))))
      (local.set $done (i64.atomic.load offset=128 (local.get $control)))
      (if (i64.ge_s (local.get $done) (local.get $target)) (then (return (i32.const 0))))
      (local.set $spins (i32.add (local.get $spins) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $spins) (i32.const 4000)))
      (br_if $again (call $pause (local.get $control) (i32.sub (local.get $spins) (i32.const 4000))))
      (drop (i32.atomic.rmw.add offset=136 (local.get $control) (i32.const 1)))
      (local.set $done (i64.atomic.load offset=128 (local.get $control)))
      (if (i64.lt_s (local.get $done) (local.get $target))
        ;; the low word changes with every item; the time limit (10 ms) is for failures
        (then (drop (memory.atomic.wait32 offset=128 (local.get $control) (i32.wrap_i64 (local.get $done))
                                          (i64.const 10000000)))))
      (drop (i32.atomic.rmw.sub offset=136 (local.get $control) (i32.const 1)))
      (br $again))
    (unreachable))

  ;; Keep the first failure.
  (func $fail (param $control i32) (param $status i32) (param $command i32) (result i32)
    (if (i32.eqz (i32.atomic.rmw.cmpxchg offset=196 (local.get $control) (i32.const 0) (local.get $status)))
      (then (i32.atomic.store offset=200 (local.get $control) (local.get $command))))
    (drop (memory.atomic.notify offset=128 (local.get $control) (i32.const -1)))
    (local.get $status))

  ;; Whether any command has more than one item: else the others are not woken, they could only look on.
  (func $shareable (param $command i32) (param $end i32) (param $thread_count i32) (result i32)
    (block $over
      (loop $next
        (br_if $over (i32.ge_u (local.get $command) (local.get $end)))
        (if (i64.gt_u (call $items (local.get $command) (local.get $thread_count)) (i64.const 1))
          (then (return (i32.const 1))))
        (local.set $command (i32.add (local.get $command)
          (i32.shl (i32.shr_u (i32.load (local.get $command)) (i32.const 8)) (i32.const 2))))
        (br $next)))
    (i32.const 0))

  (func $lead (export "lead") (param $words i32) (param $end i32) (param $control i32) (param $thread_count i32)
              (result i32)
    (local $status i32)
    (if (i32.eqz (call $shareable (local.get $words) (local.get $end) (local.get $thread_count)))
      (then (return (call $play (local.get $words) (local.get $end) (local.get $control) (i32.const 0)
                                (i32.const 1)))))
    (i64.atomic.store offset=64 (local.get $control) (i64.const 0))
    (i64.atomic.store offset=128 (local.get $control) (i64.const 0))
    (i32.store offset=8 (local.get $control) (local.get $words))
    (i32.store offset=12 (local.get $control) (local.get $end))
    (drop (i32.atomic.rmw.add (local.get $control) (i32.const 1)))
    (call $wake (local.get $control))
    (local.set $status (call $play (local.get $words) (local.get $end) (local.get $control) (i32.const 0)
                                   (local.get $thread_count)))
    (call $close (local.get $control))
    (local.get $status))

  ;; End the open stream: from now on no thread enters it, and those inside are waited for.
  (func $close (param $control i32)
    (local $spins i32)
    (drop (i32.atomic.rmw.add (local.get $control) (i32.const 1)))
    (loop $again
      (if (i32.eqz (i32.atomic.load offset=192 (local.get $control))) (then (return)))
      (local.set $spins (i32.add (local.get $spins) (i32.const 1)))
      (if (i32.gt_u (local.get $spins) (i32.const 4000))
        ;; nobody notifies: a word that does not change, for 50 microseconds, lets others have the core
        (then
          (br_if $again (call $pause (local.get $control) (i32.sub (local.get $spins) (i32.const 4000))))
          (drop (memory.atomic.wait32 offset=4 (local.get $control)
                                          (i32.atomic.load offset=4 (local.get $control)) (i64.const 50000)))))
      (br $again)))

  (func (export "serve") (param $control i32) (param $thread i32) (param $thread_count i32) (result i32)
    (local $seen i32) (local $generation i32) (local $spins i32)
    (loop $again
      ;; in this order: `dismiss` writes them in the other, so an old generation is all that goes with an old `quit`
      (local.set $generation (i32.atomic.load (local.get $control)))
      (if (i32.atomic.load offset=4 (local.get $control)) (then (return (i32.const 0))))
      (if (i32.and (i32.and (local.get $generation) (i32.const 1))
                   (i32.ne (local.get $generation) (local.get $seen)))
        (then
          (local.set $seen (local.get $generation))
          (drop (i32.atomic.rmw.add offset=192 (local.get $control) (i32.const 1)))
          ;; closed in between: the words may be somebody else's already
          (if (i32.eq (local.get $generation) (i32.atomic.load (local.get $control)))
            (then (drop (call $play (i32.load offset=8 (local.get $control)) (i32.load offset=12 (local.get $control))
                                    (local.get $control) (local.get $thread) (local.get $thread_count)))))
          (drop (i32.atomic.rmw.sub offset=192 (local.get $control) (i32.const 1)))
          (local.set $spins (i32.const 0))
          (br $again)))
      (local.set $spins (i32.add (local.get $spins) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $spins) (i32.const 4000)))
      (drop (i32.atomic.rmw.add offset=140 (local.get $control) (i32.const 1)))
      (if (i32.eqz (call $pause (local.get $control)
            (i32.sub (i32.const -2) (i32.and (local.get $generation) (i32.const 0xffffff)))))
        (then (drop (memory.atomic.wait32 (local.get $control) (local.get $generation) (i64.const -1)))))
      (drop (i32.atomic.rmw.sub offset=140 (local.get $control) (i32.const 1)))
      (local.set $spins (i32.const 0))
      (br $again))
    (unreachable))

  (func (export "dismiss") (param $control i32)
    (i32.atomic.store offset=4 (local.get $control) (i32.const 1))
    (drop (i32.atomic.rmw.add (local.get $control) (i32.const 2)))
    (call $wake (local.get $control)))

  (func (export "trapped") (param $control i32) (param $thread i32)
    (i32.store offset=204 (local.get $control) (i32.const 1))
    (drop (call $fail (local.get $control) (i32.const 13)
      (i32.load (i32.add (i32.load offset=20 (local.get $control))
                         (i32.mul (local.get $thread) (i32.load offset=24 (local.get $control)))))))
    (if (local.get $thread)
      (then (drop (i32.atomic.rmw.sub offset=192 (local.get $control) (i32.const 1))))
      (else
        ;; thread 0 of `lead` left its stream open
        (if (i32.and (i32.atomic.load (local.get $control)) (i32.const 1))
          (then (call $close (local.get $control))))))))
