;; C = A B in single precision, four rows by eight columns at a time: all the arithmetic of the page that takes long.
;;
;;   A  [rows, inner]          as usual, row by row
;;   B  [panels, inner, 8]     eight columns at a time, so that what is read together lies together
;;   C  [rows, 8 * panels]     as usual
;;
;; Every number of C is one sum in the order of `inner`, each product and each sum rounded: the same on every processor,
;; and the same as `multiply` in matmul.js, which steps in where there is no WebAssembly SIMD.
;;
;; matmul.wasm is made from this file:  wat2wasm matmul.wat -o matmul.wasm
(module
  (memory (export "memory") 1)
  (func (export "multiply")
    (param $a i32) (param $b i32) (param $c i32) (param $rows i32) (param $inner i32) (param $panels i32)
    (local $stride_a i32) (local $stride_c i32) (local $left i32)
    (local $row_a i32) (local $row_c i32) (local $a0 i32) (local $end i32) (local $panel i32)
    (local $a1 i32) (local $a2 i32) (local $a3 i32)
    (local $b0 v128) (local $b1 v128) (local $x v128)
    (local $c00 v128) (local $c01 v128) (local $c10 v128) (local $c11 v128)
    (local $c20 v128) (local $c21 v128) (local $c30 v128) (local $c31 v128)
    (if (i32.or (i32.eqz (local.get $panels)) (i32.eqz (local.get $inner))) (then (return)))
    (local.set $stride_a (i32.shl (local.get $inner) (i32.const 2)))
    (local.set $stride_c (i32.shl (local.get $panels) (i32.const 5)))
    (loop $panels_loop
      (local.set $row_a (local.get $a))
      (local.set $row_c (local.get $c))
      (local.set $left (local.get $rows))

      ;; four rows at a time
      (block $fours_done
        (loop $fours
          (br_if $fours_done (i32.lt_s (local.get $left) (i32.const 4)))
          (local.set $a0 (local.get $row_a))
          (local.set $a1 (i32.add (local.get $a0) (local.get $stride_a)))
          (local.set $a2 (i32.add (local.get $a1) (local.get $stride_a)))
          (local.set $a3 (i32.add (local.get $a2) (local.get $stride_a)))
          (local.set $end (local.get $a1))
          (local.set $panel (local.get $b))
          (local.set $c00 (v128.const f32x4 0 0 0 0)) (local.set $c01 (v128.const f32x4 0 0 0 0))
          (local.set $c10 (v128.const f32x4 0 0 0 0)) (local.set $c11 (v128.const f32x4 0 0 0 0))
          (local.set $c20 (v128.const f32x4 0 0 0 0)) (local.set $c21 (v128.const f32x4 0 0 0 0))
          (local.set $c30 (v128.const f32x4 0 0 0 0)) (local.set $c31 (v128.const f32x4 0 0 0 0))
          (loop $sum
            (local.set $b0 (v128.load (local.get $panel)))
            (local.set $b1 (v128.load offset=16 (local.get $panel)))
            (local.set $x (v128.load32_splat (local.get $a0)))
            (local.set $c00 (f32x4.add (local.get $c00) (f32x4.mul (local.get $x) (local.get $b0))))
            (local.set $c01 (f32x4.add (local.get $c01) (f32x4.mul (local.get $x) (local.get $b1))))
            (local.set $x (v128.load32_splat (local.get $a1)))
            (local.set $c10 (f32x4.add (local.get $c10) (f32x4.mul (local.get $x) (local.get $b0))))
            (local.set $c11 (f32x4.add (local.get $c11) (f32x4.mul (local.get $x) (local.get $b1))))
            (local.set $x (v128.load32_splat (local.get $a2)))
            (local.set $c20 (f32x4.add (local.get $c20) (f32x4.mul (local.get $x) (local.get $b0))))
            (local.set $c21 (f32x4.add (local.get $c21) (f32x4.mul (local.get $x) (local.get $b1))))
            (local.set $x (v128.load32_splat (local.get $a3)))
            (local.set $c30 (f32x4.add (local.get $c30) (f32x4.mul (local.get $x) (local.get $b0))))
            (local.set $c31 (f32x4.add (local.get $c31) (f32x4.mul (local.get $x) (local.get $b1))))
            (local.set $a1 (i32.add (local.get $a1) (i32.const 4)))
            (local.set $a2 (i32.add (local.get $a2) (i32.const 4)))
            (local.set $a3 (i32.add (local.get $a3) (i32.const 4)))
            (local.set $panel (i32.add (local.get $panel) (i32.const 32)))
            (br_if $sum (i32.lt_u (local.tee $a0 (i32.add (local.get $a0) (i32.const 4))) (local.get $end))))
          (v128.store (local.get $row_c) (local.get $c00))
          (v128.store offset=16 (local.get $row_c) (local.get $c01))
          (local.set $row_c (i32.add (local.get $row_c) (local.get $stride_c)))
          (v128.store (local.get $row_c) (local.get $c10))
          (v128.store offset=16 (local.get $row_c) (local.get $c11))
          (local.set $row_c (i32.add (local.get $row_c) (local.get $stride_c)))
          (v128.store (local.get $row_c) (local.get $c20))
          (v128.store offset=16 (local.get $row_c) (local.get $c21))
          (local.set $row_c (i32.add (local.get $row_c) (local.get $stride_c)))
          (v128.store (local.get $row_c) (local.get $c30))
          (v128.store offset=16 (local.get $row_c) (local.get $c31))
          (local.set $row_c (i32.add (local.get $row_c) (local.get $stride_c)))
          (local.set $row_a (i32.add (local.get $row_a) (i32.shl (local.get $stride_a) (i32.const 2))))
          (local.set $left (i32.sub (local.get $left) (i32.const 4)))
          (br $fours)))

      ;; the rows that are left, one at a time
      (block $ones_done
        (loop $ones
          (br_if $ones_done (i32.lt_s (local.get $left) (i32.const 1)))
          (local.set $a0 (local.get $row_a))
          (local.set $end (i32.add (local.get $a0) (local.get $stride_a)))
          (local.set $panel (local.get $b))
          (local.set $c00 (v128.const f32x4 0 0 0 0)) (local.set $c01 (v128.const f32x4 0 0 0 0))
          (loop $sum
            (local.set $x (v128.load32_splat (local.get $a0)))
            (local.set $c00 (f32x4.add (local.get $c00) (f32x4.mul (local.get $x) (v128.load (local.get $panel)))))
            (local.set $c01
              (f32x4.add (local.get $c01) (f32x4.mul (local.get $x) (v128.load offset=16 (local.get $panel)))))
            (local.set $panel (i32.add (local.get $panel) (i32.const 32)))
            (br_if $sum (i32.lt_u (local.tee $a0 (i32.add (local.get $a0) (i32.const 4))) (local.get $end))))
          (v128.store (local.get $row_c) (local.get $c00))
          (v128.store offset=16 (local.get $row_c) (local.get $c01))
          (local.set $row_c (i32.add (local.get $row_c) (local.get $stride_c)))
          (local.set $row_a (local.get $end))
          (local.set $left (i32.sub (local.get $left) (i32.const 1)))
          (br $ones)))

      (local.set $b (i32.add (local.get $b) (i32.shl (local.get $inner) (i32.const 5))))
      (local.set $c (i32.add (local.get $c) (i32.const 32)))
      (br_if $panels_loop (local.tee $panels (i32.sub (local.get $panels) (i32.const 1)))))))
