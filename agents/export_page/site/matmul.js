// One array of single precision numbers for all weights and all that is computed from them, and the product of two
// matrices in it: by WebAssembly SIMD (matmul.wat), or by the same sums in the same order where there is none.

"use strict";

const PANEL = 8; // columns of B that lie together

class Arena {
  // kernel: the bytes of matmul.wasm, or null to do without.
  constructor(kernel) {
    this.kernel = kernel && exportsOf(kernel);
    this.floats = this.kernel ? new Float32Array(this.kernel.memory.buffer) : new Float32Array(1 << 14);
    this.used = 0;
  }

  // Room for so many numbers, all zero: the index of the first. Larger rooms than asked for keep every one aligned.
  allocate(count) {
    const at = this.used;
    this.used += Math.ceil(count / 4) * 4;
    if (this.used > this.floats.length) this.grow();
    return at;
  }

  grow() {
    const wanted = Math.max(this.used, this.floats.length * 2);
    if (this.kernel) {
      this.kernel.memory.grow(Math.ceil((wanted * 4 - this.kernel.memory.buffer.byteLength) / 65536));
      this.floats = new Float32Array(this.kernel.memory.buffer);
    } else {
      const floats = new Float32Array(wanted);
      floats.set(this.floats);
      this.floats = floats;
    }
  }

  // A matrix [inner, columns] as panels of eight columns; the last one is filled up with zeros.
  pack(matrix, inner, columns) {
    const panels = Math.ceil(columns / PANEL), at = this.allocate(panels * inner * PANEL);
    for (let row = 0, from = 0; row < inner; row++)
      for (let column = 0; column < columns; column++, from++)
        this.floats[at + ((column >> 3) * inner + row) * PANEL + (column & 7)] = matrix[from];
    return { at, inner, columns, panels, stride: panels * PANEL };
  }

  // C [rows, b.stride] at c = A [rows, b.inner] at a, times the packed matrix b.
  multiply(a, b, c, rows) {
    if (this.kernel) this.kernel.multiply(4 * a, 4 * b.at, 4 * c, rows, b.inner, b.panels);
    else multiply(this.floats, a, b.at, c, rows, b.inner, b.panels);
  }
}

// What the kernel offers; null where the browser knows no SIMD, or the server's security policy forbids WebAssembly.
function exportsOf(kernel) {
  if (typeof WebAssembly !== "object" || !WebAssembly.validate(kernel)) return null;
  try {
    return new WebAssembly.Instance(new WebAssembly.Module(kernel)).exports;
  } catch (error) {
    if (error instanceof WebAssembly.CompileError) return null;
    throw error;
  }
}

// As matmul.wat, to the last bit: Math.fround rounds to single precision.
function multiply(floats, a, b, c, rows, inner, panels) {
  const round = Math.fround;
  for (let panel = 0; panel < panels; panel++)
    for (let row = 0; row < rows; row++) {
      let c0 = round(0), c1 = round(0), c2 = round(0), c3 = round(0);
      let c4 = round(0), c5 = round(0), c6 = round(0), c7 = round(0);
      const end = a + (row + 1) * inner;
      for (let at = a + row * inner, from = b + panel * inner * PANEL; at < end; at++, from += PANEL) {
        const x = floats[at];
        c0 = round(c0 + round(x * floats[from]));
        c1 = round(c1 + round(x * floats[from + 1]));
        c2 = round(c2 + round(x * floats[from + 2]));
        c3 = round(c3 + round(x * floats[from + 3]));
        c4 = round(c4 + round(x * floats[from + 4]));
        c5 = round(c5 + round(x * floats[from + 5]));
        c6 = round(c6 + round(x * floats[from + 6]));
        c7 = round(c7 + round(x * floats[from + 7]));
      }
      floats.set([c0, c1, c2, c3, c4, c5, c6, c7], c + (row * panels + panel) * PANEL);
    }
}
