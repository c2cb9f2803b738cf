// The dream: M imagines, C acts, V paints.

"use strict";

const END_PROBABILITY = 0.5; // the dream ends above it, as it does while controllers are evolved
const STREAM = { start: 0, latent: 1, component: 2, place: 3 }; // of the noise

class Dream {
  // model: the MODEL of model.js; arena: where its weights go.
  constructor(model, arena = new Arena(model.kernel ? bytesOf(model.kernel) : null)) {
    const tensor = unpack(model);
    this.model = model;
    this.arena = arena;
    this.vae = new Network(arena, model.decoder, tensor, model.latents);
    this.mdnrnn = new MDNRNN(arena, model.mdnrnn, tensor);
    this.controller = new Controller(model.controller, model.action, tensor);
    const { count } = model.starts, { latents } = model, { hidden } = model.mdnrnn;
    const rows = (name, width) => {
      const all = tensor(model.starts[name]);
      return Array.from({ length: count }, (_, row) => all.subarray(row * width, (row + 1) * width));
    };
    const [mean, logvar] = ["mean", "logvar"].map((name) => rows(name, latents));
    const [h, c] = ["h", "c"].map((name) => rows(name, hidden));
    this.starts = { mean, logvar, h, c };
    this.temperature = 1;
  }

  // Begin at one of the starts, or at the promising one that the seed says. What V saw there is drawn once more, as in
  // every dream.
  reset(seed, start = null) {
    this.seed = seed;
    this.noise = new Noise(seed);
    const { promising } = this.model.starts, drawn = this.noise.uniform(0, STREAM.start, 0);
    this.start = start ?? promising[Math.floor(drawn * promising.length)];
    const normal = this.noise.normals(0, STREAM.latent, this.model.latents), { mean, logvar, h, c } = this.starts;
    const z = mean[this.start].map((value, unit) => value + exp(logvar[this.start][unit] / 2) * normal[unit]);
    this.begin(z, { h: h[this.start].slice(), c: c[this.start].slice() });
  }

  // Begin at any z, with any memory; without one, as at the start of an episode.
  begin(z, memory = this.mdnrnn.initialState()) {
    this.z = z;
    this.memory = memory;
    this.previous = new Float32Array(this.model.mdnrnn.actions);
    this.steps = this.total = 0;
    this.over = "";
    this.choose();
  }

  // One decision: this.z becomes what M imagines to follow the action.
  step(action = this.chosen) {
    const count = this.model.latents, step = this.steps + 1;
    const uniform = this.noise.uniforms(step, STREAM.component, count);
    const normal = this.noise.normals(step, STREAM.place, count);
    this.memory = this.mdnrnn.advance(this.z, action, this.memory);
    const prediction = this.mdnrnn.predict(this.memory);
    this.z = this.mdnrnn.sample(prediction, this.temperature, uniform, normal);
    this.steps = step;
    this.previous = action;
    this.total += prediction.reward;
    this.over = prediction.end > END_PROBABILITY ? "end" : step >= this.model.horizon ? "time" : "";
    this.choose();
    return { reward: prediction.reward, end: prediction.end };
  }

  choose() {
    this.chosen = this.controller.act(this.z, this.memory, this.previous);
  }

  // The picture of any z: numbers in [0, 1], a view that the next picture overwrites.
  paint(z = this.z) {
    return this.vae.run(z);
  }
}
