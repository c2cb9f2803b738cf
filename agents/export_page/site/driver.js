// Somebody who may take over at any moment; with no key held, the agent goes on. As agents/driving.py has it.

"use strict";

class Driver {
  // action: the ActionSpec, with the keys [down, up] of every number.
  constructor(action) {
    this.action = action;
    this.held = new Set();
    this.last = this.rest();
  }

  get drives() {
    return this.action.keys.some((pair) => pair.some((key) => this.held.has(key)));
  }

  // Hands off: zero where an action may be zero, its nearest limit elsewhere.
  rest() {
    const { low, high } = this.action;
    return Float32Array.from(low, (_, index) => Math.min(Math.max(0, low[index]), high[index]));
  }

  // The action for the next `seconds`, from where `agents` left.
  act(agents, seconds) {
    this.last = this.drives ? this.driven(seconds) : agents;
    return this.last;
  }

  driven(seconds) {
    const { kind, low, high, keys, fullTurn } = this.action, wanted = this.rest();
    if (kind === "discrete") {
      const pressed = keys.findIndex(([, up]) => this.held.has(up)); // the first of several
      return wanted.map((_, index) => Number(index === pressed));
    }
    return wanted.map((aim, index) => {
      const [down, up] = (keys[index] ?? []).map((key) => this.held.has(key)); // there may be more actions than keys
      if (down !== up) aim = up ? high[index] : low[index];
      // A key is pressed at once, a hand turns a wheel.
      const reach = ((high[index] - low[index]) / 2) * (Math.max(seconds, 1e-3) / fullTurn);
      const turned = this.last[index] + Math.min(Math.max(aim - this.last[index], -reach), reach);
      return Math.min(Math.max(turned, low[index]), high[index]);
    });
  }
}
