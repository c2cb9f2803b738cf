// Randomness as a function: a seed, a step and a place give a number, whatever was drawn before.

"use strict";

const MOST_SEEDS = 2 ** 32;

// Every bit of x moves half of the bits of the result (the constants are those of Wellons' lowbias32).
function mixed(x) {
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

class Noise {
  constructor(seed) {
    this.seed = mixed((seed + 0x9e3779b9) >>> 0);
  }

  // Uniform on [0, 1), a multiple of 2^-24. Streams of a step are independent of one another.
  uniform(step, stream, place) {
    const row = mixed((this.seed + Math.imul(step, 0x9e3779b1)) >>> 0);
    const column = mixed((row ^ Math.imul(stream + 1, 0x85ebca6b)) >>> 0);
    return (mixed((column + Math.imul(place, 0xc2b2ae35)) >>> 0) >>> 8) / 2 ** 24;
  }

  // Standard normal, by Box and Muller (1958).
  normal(step, stream, place) {
    const radius = Math.sqrt(-2 * log(1 - this.uniform(step, stream, 2 * place)));
    return radius * cosineOfTurns(this.uniform(step, stream, 2 * place + 1));
  }

  uniforms(step, stream, count) {
    return Float32Array.from({ length: count }, (_, place) => this.uniform(step, stream, place));
  }

  normals(step, stream, count) {
    return Float32Array.from({ length: count }, (_, place) => this.normal(step, stream, place));
  }
}
