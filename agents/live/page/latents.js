// The latent space to play with.

import { $, calm, fill } from "./dom.js";
import { latentBars, paint } from "./draw.js";
import { Stream, bitmaps } from "./link.js";

const WALK_MS = 140, ASLEEP = .1; // of the strongest unit's effect
const PLAY_MS = 40, PLAY_STEP = .01;

export class Latents {
  constructor(link) {
    Object.assign(this, { link, z: [], chosen: -1, first: null, second: null, walking: null, playing: 0 });
    this.asking = new Stream(link, "latent");
    this.mixing = new Stream(link, "between");
    const bars = $("bars");
    bars.addEventListener("pointerdown", (event) => { bars.setPointerCapture(event.pointerId); this.drag(event); });
    bars.addEventListener("pointermove", (event) => { if (event.buttons) this.drag(event); });
    bars.addEventListener("pointerup", () => this.walk());
    bars.addEventListener("dblclick", (event) => this.change(this.unit(event), 0));
    bars.addEventListener("keydown", (event) => this.key(event));
    $("latent-zero").addEventListener("click", () => this.all(() => 0));
    $("latent-noise").addEventListener("click", () => this.all(normal));
    $("share").addEventListener("input", () => this.mix());
    $("share-play").addEventListener("click", () => this.play(!this.playing));
    $("share").addEventListener("change", () => this.walk());
    setInterval(() => this.animate(), WALK_MS);
  }

  // A new session knows nothing of what the last one had captured.
  reset() {
    for (const stream of [this.asking, this.mixing]) stream.forget();
    this.walking?.bitmap.close();
    Object.assign(this, { z: [], chosen: -1, first: null, second: null, picked: false, walking: null });
    $("walk").replaceChildren();
    this.gallery([], []);
  }

  mix() {
    fill($("share"));
    this.mixing.send({ first: this.first, second: this.second, share: Number($("share").value) });
  }

  // From A to B and back, until it is stopped.
  play(on) {
    clearInterval(this.playing);
    this.playing = on ? setInterval(() => {
      if (!$("share").clientWidth || $("share").disabled) { this.play(false); return; }
      const share = Number($("share").value);
      if (share >= 1) this.way = -1;
      if (share <= 0) this.way = 1;
      $("share").value = share + (this.way ?? 1) * PLAY_STEP;
      this.mix();
    }, PLAY_MS) : 0;
    $("share-play").textContent = on ? "Stop" : "Play";
  }

  async receive(header, blobs) {
    const pictures = await bitmaps(blobs);
    if (header.kind === "latent") {
      this.asking.answered();
      this.mixing.answered();
      const fresh = !this.z.length;
      if (!this.asking.busy) this.z = header.z;
      paint($("latent"), pictures[0]);
      this.draw();
      if (fresh || this.wanted) this.walk();
      this.wanted = false;
    } else if (header.kind === "gallery") this.gallery(header.captures, pictures);
    else if (header.kind === "walk") this.sheet(header, pictures[0]);
  }

  draw() {
    if (!$("bars").clientWidth || !this.z.length) return;
    latentBars($("bars"), this.z, this.chosen);
    const unit = Math.max(this.chosen, 0);
    $("bars").setAttribute("aria-valuenow", this.z[unit].toFixed(2));
    $("bars").setAttribute("aria-valuetext", `z${unit + 1}: ${this.z[unit].toFixed(2)}`);
  }

  unit(event) {
    const box = $("bars").getBoundingClientRect();
    return Math.max(0, Math.min(this.z.length - 1, Math.floor(((event.clientX - box.left) / box.width) * this.z.length)));
  }

  drag(event) {
    const box = $("bars").getBoundingClientRect(), reach = box.height / 2 - 10;
    const value = ((box.top + box.height / 2 - event.clientY) / reach) * 4;
    this.change(this.unit(event), Math.max(-4, Math.min(4, value)));
  }

  key(event) {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key], change = { ArrowUp: .2, ArrowDown: -.2 }[event.key];
    if (!this.z.length || (!move && !change)) return;
    event.preventDefault();
    if (move) { this.chosen = (this.chosen + move + this.z.length) % this.z.length; this.draw(); }
    else { this.change(Math.max(this.chosen, 0), this.z[Math.max(this.chosen, 0)] + change); this.walk(); }
  }

  // Until the first picture has come there is nothing to change.
  change(unit, value) {
    if (!this.z.length) return;
    this.chosen = unit;
    this.z[unit] = Math.abs(value) < .05 ? 0 : value;
    this.draw();
    this.asking.send({ z: this.z });
  }

  all(value) {
    if (!this.z.length) return;
    this.z = this.z.map(value);
    this.draw();
    this.asking.send({ z: this.z });
    this.walk();
  }

  walk() { if (this.z.length) this.link.send("walk", { z: this.z }); }

  gallery(captures, pictures) {
    const ids = captures.map(({ id }) => id);
    if (!ids.includes(this.first) || !ids.includes(this.second)) this.picked = false;
    if (!this.picked) [this.first, this.second] = [ids.at(-2) ?? null, ids.at(-1) ?? null];
    $("gallery").replaceChildren(...captures.map(({ id, name }, index) => this.card(id, name, pictures[index])));
    const start = $("start"), chosen = start.value;
    start.querySelectorAll("[data-captured]").forEach((option) => option.remove());
    for (const { id, name } of captures) {
      const option = new Option(`captured: ${name}`, `captured ${id}`);
      option.dataset.captured = id;
      start.append(option);
    }
    start.value = chosen;
    if (!start.value) start.value = "recorded";
    this.mark();
  }

  card(id, name, bitmap) {
    const figure = document.createElement("figure");
    figure.dataset.id = id;
    figure.innerHTML = `<button class="look"><img alt=""></button><figcaption></figcaption><div class="ends"><button class="pick-a" aria-label="Path from here">A</button><button class="pick-b" aria-label="Path to here">B</button><button class="drop" title="Forget" aria-label="Forget">×</button></div>`;
    const canvas = document.createElement("canvas");
    paint(canvas, bitmap);
    const [look, caption] = figure.children;
    look.firstChild.src = canvas.toDataURL();
    look.setAttribute("aria-label", `Look at ${name}`);
    caption.textContent = name;
    look.addEventListener("click", () => { this.wanted = true; this.link.send("look", { capture: id }); });
    figure.querySelector(".pick-a").addEventListener("click", () => this.pick("first", id));
    figure.querySelector(".pick-b").addEventListener("click", () => this.pick("second", id));
    figure.querySelector(".drop").addEventListener("click", () => this.link.send("forget", { capture: id }));
    return figure;
  }

  // Until somebody chooses, the path leads from the last capture but one to the last.
  pick(end, id) {
    this[end] = id;
    this.picked = true;
    this.mark();
  }

  mark() {
    for (const figure of $("gallery").children) {
      figure.classList.toggle("a", Number(figure.dataset.id) === this.first);
      figure.classList.toggle("b", Number(figure.dataset.id) === this.second);
    }
    $("share").disabled = $("share-play").disabled = this.first === null || this.second === null || this.first === this.second;
    fill($("share"));
  }

  // One small canvas for each unit, the strongest first; the sheet has a row for each, its values in the columns.
  sheet({ units, columns, side, effects }, bitmap) {
    const box = $("walk"), order = effects.map((_, unit) => unit).sort((a, b) => effects[b] - effects[a]);
    if (box.children.length !== units)
      box.replaceChildren(...order.map(() => {
        const figure = document.createElement("figure"), canvas = document.createElement("canvas"), text = document.createElement("figcaption");
        canvas.width = canvas.height = side;
        canvas.setAttribute("role", "img");
        figure.append(canvas, text);
        figure.addEventListener("click", () => { this.chosen = Number(figure.dataset.unit); this.draw(); });
        return figure;
      }));
    order.forEach((unit, index) => {
      const figure = box.children[index], [canvas, text] = figure.children;
      figure.dataset.unit = unit;
      figure.classList.toggle("asleep", effects[unit] < ASLEEP * effects[order[0]]);
      figure.title = `changes the picture by ${effects[unit]} grey levels`;
      canvas.setAttribute("aria-label", `z${unit + 1} from -3 to 3`);
      text.textContent = `z${unit + 1}`;
    });
    this.walking?.bitmap.close();
    this.walking = { bitmap, columns, side };
  }

  animate() {
    if (!this.walking || !$("walk").clientWidth) return;
    const { bitmap, columns, side } = this.walking, turn = Math.floor(performance.now() / WALK_MS) % (2 * columns - 2);
    const column = calm.matches ? columns - 1 : turn < columns ? turn : 2 * columns - 2 - turn;
    for (const figure of $("walk").children) {
      const unit = Number(figure.dataset.unit);
      figure.firstChild.getContext("2d").drawImage(bitmap, column * side, unit * side, side, side, 0, 0, side, side);
      figure.classList.toggle("chosen", unit === this.chosen);
    }
  }
}

const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
