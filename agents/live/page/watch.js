// What the page shows of every moment: pictures, tiles, actions, curves.

import { $, make, note, say } from "./dom.js";
import { Curve, clear, paint } from "./draw.js";
import { Player } from "./player.js";
import { SCENES } from "./scenes.js";

const COLOURS = { total: "--accent", apart: "--warm", reward: "--accent", lead: "--accent", surprise: "--warm", end: "--bad" };
const DIGITS = { total: 1, lead: 1, apart: 2, reward: 2, surprise: 2, end: 2 };
const OUTPUTS = { total: "return" };

export class Watch {
  // `told(moment)` is called for every moment as it is shown.
  constructor(told = () => {}) {
    Object.assign(this, { told, actions: [], scene: "real", saved: 0, drives: "" });
    this.player = new Player($("main"), $("twin"), (moment, tiles) => this.show(moment, tiles));
    this.curves = Object.fromEntries([...document.querySelectorAll("[data-curve]")].map((canvas) =>
      [canvas.dataset.curve, new Curve(canvas, [0, 1], COLOURS[canvas.dataset.curve])]));
    setInterval(() => { for (const curve of Object.values(this.curves)) if (curve.stale) curve.draw(); }, 66);
    addEventListener("resize", () => this.redraw());
  }

  build({ actions, drives }) {
    Object.assign(this, { actions, drives, saved: 0 });
    $("actions").replaceChildren(...actions.map(({ name }) =>
      make("div", {}, make("span", { textContent: name }), make("span", { className: "track" }, make("i")), make("b", { className: "value" }))));
  }

  // Another scene: nothing of the last one stays.
  turn(scene) {
    this.scene = scene;
    const { caption, twin, total } = SCENES[scene];
    this.player.drop();
    for (const canvas of [$("main"), $("twin"), $("overlay"), ...$("tiles").querySelectorAll("canvas")]) clear(canvas);
    for (const name of Object.keys(this.curves)) this.value(name, null);
    if (caption) $("main-caption").textContent = caption;
    if (twin) $("twin-caption").textContent = twin;
    $("return-name").textContent = total ?? "return";
    say("over", "");
    say("twin-over", "");
    this.forget();
  }

  // A moment that was on its way when the scene changed is of the last one.
  async receive(moment, blobs) { if (moment.scene === this.scene) await this.player.add(moment, blobs); }

  forget() { for (const curve of Object.values(this.curves)) curve.clear(); }
  redraw() { for (const curve of Object.values(this.curves)) curve.stale = true; }

  value(name, value) {
    const output = $(OUTPUTS[name] ?? name);
    output.textContent = value === null || value === undefined ? "" : value.toFixed(DIGITS[name]);
  }

  show(moment, tiles) {
    for (const [name, curve] of Object.entries(this.curves)) {
      curve.add(name === "apart" ? moment.dreamed_for : moment.step, moment[name], moment.by_hand);
      this.value(name, moment[name]);
    }
    document.body.classList.toggle("by-hand", moment.by_hand);
    $("driver").textContent = moment.by_hand ? "you" : moment.policy ?? "agent"; // recorded episodes have others
    $("driver").classList.toggle("you", moment.by_hand);
    $("who").textContent = moment.by_hand ? "yours" : moment.policy ? "as recorded" : "the agent's";
    say("over", moment.over);
    say("twin-over", moment.twin_over);
    this.act(moment.action);
    this.tiles(moment.tiles, tiles);
    this.record(moment);
    this.told(moment);
  }

  act(action) {
    [...$("actions").children].forEach((row, index) => {
      const { low, high } = this.actions[index], value = action[index], zero = Math.max(low, 0);
      const share = (x) => (100 * (x - low)) / (high - low), bar = row.querySelector("i");
      bar.style.left = `${Math.min(share(zero), share(value))}%`;
      bar.style.width = `${Math.abs(share(value) - share(zero))}%`;
      row.lastChild.textContent = value.toFixed(2);
    });
  }

  tiles(captions, bitmaps) {
    if (!bitmaps.length) return;
    const box = $("tiles");
    if (box.children.length !== captions.length)
      box.replaceChildren(...captions.map(() => make("figure", {}, make("canvas", { role: "img" }), make("figcaption"))));
    captions.forEach((caption, index) => {
      const [canvas, text] = box.children[index].children;
      paint(canvas, bitmaps[index]);
      if (text.textContent !== caption) { text.textContent = caption; canvas.setAttribute("aria-label", caption); }
    });
  }

  record({ recording, saved }) {
    this.recording = recording;
    $("record").setAttribute("aria-pressed", recording);
    $("record").lastChild.textContent = recording ? `Recording · ${saved} saved` : "Record drives";
    if (saved > this.saved) note(`Saved to ${this.drives}: V and M can learn from it.`);
    this.saved = saved;
  }
}
