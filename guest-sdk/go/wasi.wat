;; What Go's runtime asks of WASI (preview 1), answered inside the component, so that a policy in Go
;; imports no WASI: no files, no arguments, a clock that only ever moves by itself, randomness that is the
;; same in every instance. `wasm-tools component new --adapt` puts it in.
;;
;; It calls nothing outside. That matters: Go's collector looks at the clock, and it may run while the host
;; puts an argument into the policy's memory, when a component must not call out; with the usual adapter
;; that is a trap after some hundreds of calls.
(module
  (import "env" "memory" (memory 0))

  ;; nanoseconds; a microsecond further with each look, so that whoever waits for it to move sees it move
  (global $clock (mut i64) (i64.const 1000000000))
  (global $random (mut i64) (i64.const 0x9e3779b97f4a7c15))

  (func (export "sched_yield") (result i32) i32.const 0)
  (func (export "proc_exit") (param i32) unreachable)
  (func (export "adapter_monotonic_clock_set_paused") (param i32))

  (func $none (param $count i32) (param $bytes i32) (result i32)
    (i32.store (local.get $count) (i32.const 0))
    (i32.store (local.get $bytes) (i32.const 0))
    i32.const 0)
  (func (export "args_sizes_get") (param i32 i32) (result i32) (call $none (local.get 0) (local.get 1)))
  (func (export "environ_sizes_get") (param i32 i32) (result i32) (call $none (local.get 0) (local.get 1)))
  (func (export "args_get") (param i32 i32) (result i32) i32.const 0)
  (func (export "environ_get") (param i32 i32) (result i32) i32.const 0)

  (func (export "clock_time_get") (param $which i32) (param $precision i64) (param $into i32) (result i32)
    (global.set $clock (i64.add (global.get $clock) (i64.const 1000)))
    (i64.store (local.get $into) (global.get $clock))
    i32.const 0)

  ;; xorshift64; bytes one by one, for it is asked for a handful
  (func (export "random_get") (param $into i32) (param $count i32) (result i32)
    (local $x i64)
    (block $done
      (loop $more
        (br_if $done (i32.eqz (local.get $count)))
        (local.set $x (global.get $random))
        (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 13))))
        (local.set $x (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 7))))
        (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 17))))
        (global.set $random (local.get $x))
        (i64.store8 (local.get $into) (i64.shr_u (local.get $x) (i64.const 32)))
        (local.set $into (i32.add (local.get $into) (i32.const 1)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $more)))
    i32.const 0)

  ;; swallows what is written; panics reach the policy's log by themselves
  (func (export "fd_write") (param $fd i32) (param $pieces i32) (param $count i32) (param $written i32) (result i32)
    (local $sum i32)
    (block $done
      (loop $more
        (br_if $done (i32.eqz (local.get $count)))
        (local.set $sum (i32.add (local.get $sum) (i32.load offset=4 (local.get $pieces))))
        (local.set $pieces (i32.add (local.get $pieces) (i32.const 8)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $more)))
    (i32.store (local.get $written) (local.get $sum))
    i32.const 0)

  ;; sleeping: the clock is moved to where the sleeper wants it, and everything waited for has happened
  (func (export "poll_oneoff") (param $wanted i32) (param $events i32) (param $count i32) (param $happened i32) (result i32)
    (local $left i32)
    (local.set $left (local.get $count))
    (block $done
      (loop $more
        (br_if $done (i32.eqz (local.get $left)))
        (if (i32.eqz (i32.load8_u offset=8 (local.get $wanted)))
          (then
            (if (i32.and (i32.load16_u offset=40 (local.get $wanted)) (i32.const 1))
              (then
                (if (i64.lt_u (global.get $clock) (i64.load offset=24 (local.get $wanted)))
                  (then (global.set $clock (i64.load offset=24 (local.get $wanted))))))
              (else
                (global.set $clock (i64.add (global.get $clock) (i64.load offset=24 (local.get $wanted))))))))
        (i64.store (local.get $events) (i64.load (local.get $wanted)))
        (i64.store offset=8 (local.get $events) (i64.const 0))
        (i64.store offset=16 (local.get $events) (i64.const 0))
        (i64.store offset=24 (local.get $events) (i64.const 0))
        (i32.store8 offset=10 (local.get $events) (i32.load8_u offset=8 (local.get $wanted)))
        (local.set $wanted (i32.add (local.get $wanted) (i32.const 48)))
        (local.set $events (i32.add (local.get $events) (i32.const 32)))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br $more)))
    (i32.store (local.get $happened) (local.get $count))
    i32.const 0)

  ;; no file is open: EBADF
  (func (export "fd_close") (param i32) (result i32) i32.const 8)
  (func (export "fd_read") (param i32 i32 i32 i32) (result i32) i32.const 8)
  (func (export "fd_fdstat_get") (param i32 i32) (result i32) i32.const 8)
  (func (export "fd_fdstat_set_flags") (param i32 i32) (result i32) i32.const 8)
  (func (export "fd_prestat_get") (param i32 i32) (result i32) i32.const 8)
  (func (export "fd_prestat_dir_name") (param i32 i32 i32) (result i32) i32.const 8)

  ;; and none can be opened. Libraries that could read files are linked with these, whether or not they do.
  (func (export "fd_filestat_get") (param i32 i32) (result i32) i32.const 8)
  (func (export "fd_seek") (param i32 i64 i32 i32) (result i32) i32.const 8)
  (func (export "fd_pread") (param i32 i32 i32 i64 i32) (result i32) i32.const 8)
  (func (export "fd_pwrite") (param i32 i32 i32 i64 i32) (result i32) i32.const 8)
  (func (export "fd_readdir") (param i32 i32 i32 i64 i32) (result i32) i32.const 8)
  (func (export "fd_sync") (param i32) (result i32) i32.const 8)
  (func (export "fd_filestat_set_size") (param i32 i64) (result i32) i32.const 8)
  (func (export "path_open") (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32) i32.const 8)
  (func (export "path_filestat_get") (param i32 i32 i32 i32 i32) (result i32) i32.const 8)
  (func (export "path_readlink") (param i32 i32 i32 i32 i32 i32) (result i32) i32.const 8)
  (func (export "path_create_directory") (param i32 i32 i32) (result i32) i32.const 8)
  (func (export "path_remove_directory") (param i32 i32 i32) (result i32) i32.const 8)
  (func (export "path_unlink_file") (param i32 i32 i32) (result i32) i32.const 8)
  (func (export "path_rename") (param i32 i32 i32 i32 i32 i32) (result i32) i32.const 8)
)
