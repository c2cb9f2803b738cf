// The numbers of model.js: text of base64, to bytes, to half or single precision, to Float32Arrays.

"use strict";

function bytesOf(text) {
  const letters = atob(text), bytes = new Uint8Array(letters.length);
  for (let index = 0; index < bytes.length; index++) bytes[index] = letters.charCodeAt(index);
  return bytes;
}

// A function that gives tensors by their numbers in model.tensors: { at, count, half } each.
function unpack(model) {
  const bytes = bytesOf(model.bytes).buffer;
  return (number) => {
    const { at, count, half } = model.tensors[number];
    return half ? Float32Array.from(new Uint16Array(bytes, at, count), fromHalf) : new Float32Array(bytes, at, count);
  };
}

// IEEE 754 half precision: 1 bit of sign, 5 of exponent, 10 of fraction.
function fromHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
