// A picture as a handful of numbers: a slider for each, those that change most first.

"use strict";

const ASLEEP = 0.05; // of the largest effect: a number that changes less than this hardly changes anything

class Latents {
  // paint(z) draws; effects[unit] says how much of the picture a number changes.
  constructor(box, effects, paint) {
    Object.assign(this, { paint, z: new Float32Array(effects.length) });
    const order = [...effects.keys()].sort((a, b) => effects[b] - effects[a]);
    const awake = order.filter((unit) => effects[unit] >= ASLEEP * effects[order[0]]);
    const asleep = order.filter((unit) => !awake.includes(unit));
    this.inputs = [];
    box.replaceChildren(this.group("Numbers that change the picture, the strongest first", awake));
    if (asleep.length) box.append(this.group("These change next to nothing: they were not needed", asleep));
  }

  group(title, units) {
    const [group, head, grid] = ["div", "h2", "div"].map((name) => document.createElement(name));
    head.textContent = title;
    grid.className = "grid";
    grid.append(...units.map((unit) => this.slider(unit)));
    group.append(head, grid);
    return group;
  }

  slider(unit) {
    const [label, input, value] = ["label", "input", "output"].map((name) => document.createElement(name));
    Object.assign(input, { type: "range", min: -4, max: 4, step: 0.05, value: 0 });
    input.setAttribute("aria-label", `number ${unit + 1}`);
    value.setAttribute("aria-live", "off");
    input.addEventListener("input", () => this.change(unit, Number(input.value)));
    input.addEventListener("dblclick", () => this.change(unit, 0));
    label.append(Object.assign(document.createElement("span"), { textContent: `z${unit + 1}` }), input, value);
    this.inputs[unit] = { input, value };
    this.write(unit);
    return label;
  }

  change(unit, number) {
    this.touched = true;
    this.z[unit] = number;
    this.write(unit);
    this.draw();
  }

  set(z) {
    this.touched = true;
    this.z = Float32Array.from(z);
    this.z.forEach((_, unit) => this.write(unit));
    this.draw();
  }

  write(unit) {
    const { input, value } = this.inputs[unit];
    input.value = this.z[unit];
    value.textContent = this.z[unit].toFixed(2).replace("-", "−").replace(/^−(0\.00)$/, "$1");
    fill(input);
  }

  draw() { if (!this.waiting) this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.paint(this.z); }); }
}
