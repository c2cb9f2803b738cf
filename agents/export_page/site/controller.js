// C: the controller, one layer of weights (or two) from what it sees to what it does.

"use strict";

class Controller {
  // layers: [{ inputs, outputs, weight [outputs, inputs], bias or null }]; action: the ActionSpec; features: "zh".
  constructor({ layers, features }, action, tensor) {
    this.layers = layers.map((layer) => ({
      ...layer, weight: tensor(layer.weight), bias: layer.bias === null ? null : tensor(layer.bias),
    }));
    Object.assign(this, { features, action });
  }

  act(z, { h, c }) {
    let values = { z: [...z], zh: [...z, ...h], zch: [...z, ...c, ...h] }[this.features];
    this.layers.forEach((layer, number) => {
      if (number) values = values.map(tanh);
      values = Array.from({ length: layer.outputs }, (_, output) => {
        let sum = layer.bias ? layer.bias[output] : 0, at = output * layer.inputs;
        for (let input = 0; input < layer.inputs; input++, at++) sum += layer.weight[at] * values[input];
        return sum;
      });
    });
    return this.squash(values);
  }

  squash(raw) {
    const { kind, low, high, scale, offset } = this.action;
    if (kind === "discrete") {
      const largest = raw.indexOf(Math.max(...raw));
      return Float32Array.from(raw, (_, index) => Number(index === largest));
    }
    return Float32Array.from(raw, (value, index) =>
      Math.min(Math.max(scale[index] * tanh(value) + offset[index], low[index]), high[index]));
  }
}
