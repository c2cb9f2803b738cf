// C: the controller, one layer of weights (or a few) from what it sees to what it does.

"use strict";

class Controller {
  // layers: [{ inputs, outputs, weight [outputs, inputs], bias or null }]; action: the ActionSpec; features: "zh";
  // standardiser: { mean, sd } of what is seen, or null, and the limit at which it is clipped; activation: between the
  // layers; output: how the last numbers become an action.
  constructor({ layers, features, standardiser, limit, activation, output }, action, tensor) {
    this.layers = layers.map((layer) => ({
      ...layer, weight: tensor(layer.weight), bias: layer.bias === null ? null : tensor(layer.bias),
    }));
    this.standardiser = standardiser && { mean: tensor(standardiser.mean), sd: tensor(standardiser.sd), limit };
    Object.assign(this, { features, activation: ACTIVATIONS[activation], output, action });
  }

  // previous: the action before, zeros at the start.
  act(z, { h, c }, previous) {
    const parts = { z, h, c, a: previous };
    let values = [...this.features].flatMap((part) => [...parts[part]]);
    if (this.standardiser) {
      const { mean, sd, limit } = this.standardiser;
      values = values.map((value, index) => Math.min(Math.max((value - mean[index]) / sd[index], -limit), limit));
    }
    this.layers.forEach((layer, number) => {
      if (number) values = values.map((value) => this.activation(value));
      values = Array.from({ length: layer.outputs }, (_, output) => {
        let sum = layer.bias ? layer.bias[output] : 0, at = output * layer.inputs;
        for (let input = 0; input < layer.inputs; input++, at++) sum += layer.weight[at] * values[input];
        return sum;
      });
    });
    return this.output === "squash" || this.action.kind === "discrete" ? this.squash(values) : this.limited(values);
  }

  // Numbers as they are, or tanh of them scaled to all of the action's range; kept within it.
  limited(raw) {
    const { low, high } = this.action;
    return Float32Array.from(raw, (value, index) => {
      const scaled = low[index] + ((tanh(value) + 1) / 2) * (high[index] - low[index]);
      return Math.min(Math.max(this.output === "scale" ? scaled : value, low[index]), high[index]);
    });
  }

  squash(raw) {
    const { kind, low, high, scale, offset, driven, pedals } = this.action;
    if (kind === "discrete") {
      const largest = raw.indexOf(Math.max(...raw));
      return Float32Array.from(raw, (_, index) => Number(index === largest));
    }
    const spread = low.map((_, index) => (driven.includes(index) ? raw[driven.indexOf(index)] : 0));
    const action = Float32Array.from(spread, (value, index) =>
      Math.min(Math.max(scale[index] * tanh(value) + offset[index], low[index]), high[index]));
    for (const { positive, negative, offset: shift, slack, creep } of pedals) {
      const p = tanh(spread[positive] + shift);
      const shares = [[positive, p > -slack ? Math.max(p, creep) : 0], [negative, Math.max(-p - slack, 0)]];
      for (const [index, share] of shares) action[index] = low[index] + (high[index] - low[index]) * share;
    }
    return action;
  }
}
