// A network as a list of layers, from a vector to a picture. Pictures lie as [height, width, channels].

"use strict";

const ACTIVATIONS = {
  relu: (x) => (x > 0 ? x : 0),
  leaky_relu: (x, slope) => (x > 0 ? x : slope * x),
  elu: (x) => (x > 0 ? x : exp(x) - 1),
  tanh,
  sigmoid,
};

class Network {
  // layers: as agents/export_page/networks.py writes them; tensor: gives the numbers that a layer names.
  constructor(arena, layers, tensor, inputs) {
    this.arena = arena;
    this.input = { at: arena.allocate(inputs), height: 1, width: 1, channels: inputs };
    let at = this.input;
    this.layers = layers.map((layer) => {
      const made = new LAYERS[layer.kind](arena, layer, tensor, at);
      at = made.output;
      return made;
    });
    this.output = at;
  }

  // Numbers in, a view of numbers out, which the next run overwrites.
  run(values) {
    this.arena.floats.set(values, this.input.at);
    for (const layer of this.layers) layer.run();
    return this.arena.floats.subarray(this.output.at, this.output.at + size(this.output));
  }
}

const size = ({ height, width, channels }) => height * width * channels;

// A picture's room in the arena; with `stride`, rows of a product wider than the picture are told apart.
function room(arena, height, width, channels) {
  return { at: arena.allocate(height * width * channels), height, width, channels };
}

// y = x W + b. The result may be a picture: columns of W are in its order.
class Linear {
  constructor(arena, { height, width, channels, weight, bias }, tensor, input) {
    const outputs = height * width * channels;
    this.arena = arena;
    this.input = input;
    this.weight = arena.pack(tensor(weight), size(input), outputs);
    this.bias = tensor(bias);
    this.output = { at: arena.allocate(this.weight.stride), height, width, channels };
  }

  run() {
    const { arena, bias, output } = this;
    arena.multiply(this.input.at, this.weight, output.at, 1);
    for (let index = 0; index < bias.length; index++) arena.floats[output.at + index] += bias[index];
  }
}

// A convolution: every window of the picture as a row, times W [kernel * kernel * channels, outputs].
class Convolution {
  constructor(arena, { kernel, stride, padding, channels, weight, bias }, tensor, input) {
    const side = (length) => Math.floor((length + 2 * padding - kernel) / stride) + 1;
    const inner = kernel * kernel * input.channels;
    Object.assign(this, { arena, input, kernel, stride, padding });
    this.weight = arena.pack(tensor(weight), inner, channels);
    this.bias = tensor(bias);
    this.output = room(arena, side(input.height), side(input.width), channels);
    this.windows = arena.allocate(this.output.height * this.output.width * inner);
    this.product = arena.allocate(this.output.height * this.output.width * this.weight.stride);
  }

  run() {
    const { arena, bias, output, weight } = this, places = output.height * output.width;
    this.unfold();
    arena.multiply(this.windows, weight, this.product, places);
    const floats = arena.floats;
    for (let place = 0, to = output.at; place < places; place++)
      for (let channel = 0; channel < output.channels; channel++, to++)
        floats[to] = floats[this.product + place * weight.stride + channel] + bias[channel];
  }

  unfold() {
    const { input, output, kernel, stride, padding } = this, { channels } = input, floats = this.arena.floats;
    let to = this.windows;
    for (let y = 0; y < output.height; y++)
      for (let x = 0; x < output.width; x++)
        for (let row = y * stride - padding; row < y * stride - padding + kernel; row++)
          for (let column = x * stride - padding; column < x * stride - padding + kernel; column++, to += channels) {
            const inside = row >= 0 && row < input.height && column >= 0 && column < input.width;
            const from = input.at + (row * input.width + column) * channels;
            if (inside) floats.copyWithin(to, from, from + channels);
            else floats.fill(0, to, to + channels);
          }
  }
}

// A transposed convolution: every pixel times W [channels, kernel * kernel * outputs] is a stamp, and stamps add up.
class TransposedConvolution {
  constructor(arena, { kernel, stride, padding, channels, weight, bias }, tensor, input) {
    const side = (length) => (length - 1) * stride - 2 * padding + kernel;
    Object.assign(this, { arena, input, kernel, stride, padding });
    this.weight = arena.pack(tensor(weight), input.channels, kernel * kernel * channels);
    this.bias = tensor(bias);
    this.output = room(arena, side(input.height), side(input.width), channels);
    this.stamps = arena.allocate(input.height * input.width * this.weight.stride);
  }

  run() {
    const { arena, input, output, bias, kernel, stride, padding } = this, { channels } = output;
    arena.multiply(input.at, this.weight, this.stamps, input.height * input.width);
    const floats = arena.floats;
    for (let to = output.at, end = to + size(output); to < end; to += channels)
      for (let channel = 0; channel < channels; channel++) floats[to + channel] = bias[channel];
    for (let y = 0, stamp = this.stamps; y < input.height; y++)
      for (let x = 0; x < input.width; x++, stamp += this.weight.stride) {
        // Of each row of the stamp, the columns that lie inside the picture.
        const left = x * stride - padding, first = Math.max(-left, 0), last = Math.min(output.width - left, kernel);
        for (let row = 0; row < kernel; row++) {
          const line = y * stride - padding + row;
          if (line < 0 || line >= output.height) continue;
          let to = output.at + (line * output.width + left + first) * channels;
          const end = stamp + (row * kernel + last) * channels;
          for (let from = stamp + (row * kernel + first) * channels; from < end; from++, to++) floats[to] += floats[from];
        }
      }
  }
}

// An activation, in place.
class Activation {
  constructor(arena, { name, slope = 0 }, tensor, input) {
    Object.assign(this, { arena, name, slope, output: input });
  }

  run() {
    const act = ACTIVATIONS[this.name], { slope, output } = this, floats = this.arena.floats;
    if (this.name === "relu") { // nine tenths of all there are
      for (let at = output.at, end = at + size(output); at < end; at++) if (floats[at] < 0) floats[at] = 0;
    } else for (let at = output.at, end = at + size(output); at < end; at++) floats[at] = act(floats[at], slope);
  }
}

// x * scale + shift, for each channel: a normalisation that has finished learning.
class Scale {
  constructor(arena, { scale, shift }, tensor, input) {
    Object.assign(this, { arena, input, scale: tensor(scale), shift: tensor(shift) });
    this.output = room(arena, input.height, input.width, input.channels);
  }

  run() {
    const { input, output, scale, shift } = this, floats = this.arena.floats, { channels } = input;
    for (let index = 0, count = size(input); index < count; index += channels)
      for (let channel = 0; channel < channels; channel++)
        floats[output.at + index + channel] = floats[input.at + index + channel] * scale[channel] + shift[channel];
  }
}

// Every pixel repeated `factor` times in both directions.
class Resize {
  constructor(arena, { factor }, tensor, input) {
    Object.assign(this, { arena, input, factor });
    this.output = room(arena, input.height * factor, input.width * factor, input.channels);
  }

  run() {
    const { input, output, factor } = this, floats = this.arena.floats;
    for (let y = 0, to = output.at; y < output.height; y++)
      for (let x = 0; x < output.width; x++, to += input.channels) {
        const from = input.at + (Math.floor(y / factor) * input.width + Math.floor(x / factor)) * input.channels;
        floats.copyWithin(to, from, from + input.channels);
      }
  }
}

// Zeros around the picture, or, where the numbers are negative, less of it.
class Pad {
  constructor(arena, { left, right, top, bottom }, tensor, input) {
    Object.assign(this, { arena, input, left, top });
    this.output = room(arena, input.height + top + bottom, input.width + left + right, input.channels);
  }

  run() {
    const { input, output } = this, { channels } = input, floats = this.arena.floats;
    for (let y = 0, to = output.at; y < output.height; y++)
      for (let x = 0; x < output.width; x++, to += channels) {
        const row = y - this.top, column = x - this.left;
        const inside = row >= 0 && row < input.height && column >= 0 && column < input.width;
        const from = input.at + (row * input.width + column) * channels;
        if (inside) floats.copyWithin(to, from, from + channels);
        else floats.fill(0, to, to + channels);
      }
  }
}

const LAYERS = {
  linear: Linear,
  convolution: Convolution,
  transposed_convolution: TransposedConvolution,
  activation: Activation,
  scale: Scale,
  resize: Resize,
  pad: Pad,
};
