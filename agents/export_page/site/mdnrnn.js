// M: an LSTM that remembers, and a mixture of Gaussians for every latent that says what comes next.

"use strict";

class MDNRNN {
  // sizes: latents, actions, hidden, mixtures, startFlag, rewardHead, terminationHead; tensor: gives what they name.
  constructor(arena, sizes, tensor) {
    const { latents, actions, hidden, mixtures, startFlag, rewardHead, terminationHead, weights } = sizes;
    Object.assign(this, { arena, latents, actions, hidden, mixtures, startFlag, rewardHead, terminationHead });
    const inputs = latents + actions + (startFlag ? 1 : 0);
    const predictions = 3 * mixtures * latents + (rewardHead ? 1 : 0) + (terminationHead ? 1 : 0);
    this.lstm = arena.pack(tensor(weights.lstm), inputs + hidden, 4 * hidden);
    this.lstmBias = tensor(weights.lstmBias);
    this.heads = arena.pack(tensor(weights.heads), hidden, predictions);
    this.headsBias = tensor(weights.headsBias);
    this.input = arena.allocate(inputs + hidden);
    this.gates = arena.allocate(this.lstm.stride);
    this.prediction = arena.allocate(this.heads.stride);
  }

  initialState() {
    return { h: new Float32Array(this.hidden), c: new Float32Array(this.hidden) };
  }

  // The memory after seeing z and doing an action: a new { h, c }.
  advance(z, action, { h, c }) {
    const { arena, hidden } = this, atStart = c.every((value) => value === 0);
    const inputs = this.startFlag ? [...z, ...action, Number(atStart)] : [...z, ...action];
    arena.floats.set(inputs, this.input);
    arena.floats.set(h, this.input + inputs.length);
    arena.multiply(this.input, this.lstm, this.gates, 1);
    const following = this.initialState(), { floats } = arena;
    const gate = (number, unit) => floats[this.gates + number * hidden + unit] + this.lstmBias[number * hidden + unit];
    for (let unit = 0; unit < hidden; unit++) {
      following.c[unit] = sigmoid(gate(1, unit)) * c[unit] + sigmoid(gate(0, unit)) * tanh(gate(2, unit));
      following.h[unit] = sigmoid(gate(3, unit)) * tanh(following.c[unit]);
    }
    return following;
  }

  // What a memory says of the next moment: logits, means and log sigmas, [mixtures * latents] each, the reward, and the
  // probability of the end.
  predict({ h }) {
    const { arena, latents, mixtures, rewardHead, terminationHead, headsBias } = this, count = mixtures * latents;
    arena.floats.set(h, this.input);
    arena.multiply(this.input, this.heads, this.prediction, 1);
    const values = arena.floats.slice(this.prediction, this.prediction + headsBias.length);
    headsBias.forEach((bias, index) => { values[index] += bias; });
    return {
      logits: values.subarray(0, count),
      means: values.subarray(count, 2 * count),
      logSigmas: values.subarray(2 * count, 3 * count),
      reward: rewardHead ? values[3 * count] : 1,
      end: terminationHead ? sigmoid(values[values.length - 1]) : 0,
    };
  }

  // Draw the next z: which Gaussian by `uniform`, where in it by `normal`. Temperature 0 takes the likeliest mean.
  sample({ logits, means, logSigmas }, temperature, uniform, normal) {
    const { latents, mixtures } = this, z = new Float32Array(latents), weights = new Float64Array(mixtures);
    for (let latent = 0; latent < latents; latent++) {
      const at = (component) => component * latents + latent;
      let likeliest = 0;
      for (let k = 1; k < mixtures; k++) if (logits[at(k)] > logits[at(likeliest)]) likeliest = k;
      if (temperature === 0) { z[latent] = means[at(likeliest)]; continue; }
      let total = 0;
      for (let k = 0; k < mixtures; k++) total += weights[k] = exp((logits[at(k)] - logits[at(likeliest)]) / temperature);
      const threshold = uniform[latent] * total;
      let chosen = 0;
      for (let passed = weights[0]; chosen < mixtures - 1 && threshold >= passed; passed += weights[chosen]) chosen++;
      z[latent] = means[at(chosen)] + exp(logSigmas[at(chosen)]) * Math.sqrt(temperature) * normal[latent];
    }
    return z;
  }
}
