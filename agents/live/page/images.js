// Image models: a sheet of samples (clips, translations), the way from one to another, attributes.

import { $, fill } from "./dom.js";
import { paint } from "./draw.js";
import { Stream, bitmaps } from "./link.js";

export class Images {
  constructor(link, note) {
    Object.assign(this, { link, note, seed: 0, item: 0, ends: [0, 9], path: null, sheet: null });
    this.sampling = new Stream(link, "image_grid");
    this.changing = new Stream(link, "image_attributes");
    $("image-run").addEventListener("change", () => this.open());
    $("image-label").addEventListener("change", () => this.sample());
    $("truncation").addEventListener("input", () => this.sample());
    $("image-new").addEventListener("click", () => { this.seed = Math.floor(Math.random() * 2 ** 31); this.sample(); });
    $("image-share").addEventListener("input", () => this.drawPath());
    $("attribute-item").addEventListener("click", () => { this.item = Math.floor(Math.random() * 1e6); this.change(); });
    $("image-grid").addEventListener("click", (event) => this.pick(event));
    $("image-grid").addEventListener("keydown", (event) => this.key(event));
  }

  build(names) {
    for (const stream of [this.sampling, this.changing]) stream.forget();
    if ($("image-run").options.length !== names.length) $("image-run").replaceChildren(...names.map((name) => new Option(name)));
  }

  // A model is loading: until it is there, nothing is asked of the last one's sheet.
  open() {
    if (!$("image-run").value) return;
    this.sheet = this.path = null;
    this.link.send("image_run", { name: $("image-run").value });
  }

  sample() {
    fill($("truncation"));
    $("truncation").previousElementSibling.textContent = `±${Number($("truncation").value).toFixed(1)}`;
    this.sampling.send({ seed: this.seed, truncation: Number($("truncation").value), label: Number($("image-label").value || -1) });
  }

  async receive(header, blobs) {
    const pictures = await bitmaps(blobs);
    if (header.kind === "image_model") this.describe(header);
    else if (header.kind === "image_grid") {
      this.sampling.answered();
      this.sheet = { ...header, bitmap: pictures[0] };
      this.drawSheet();
      if (this.paths) this.link.send("image_path", { first: this.ends[0], second: this.ends[1] });
      else document.body.dataset.images = "ready";
    } else if (header.kind === "image_path") {
      this.path = { ...header, bitmap: pictures[0] };
      document.body.dataset.images = "ready";
      this.drawPath();
    } else if (header.kind === "image_attributes") {
      this.changing.answered();
      paint($("attribute-from"), pictures[0]);
      paint($("attribute-to"), pictures[1]);
    }
  }

  describe({ refused, shows, paths, truncates, choice, labels = [], attributes = [] }) {
    this.paths = Boolean(paths);
    $("image-label").replaceChildren(new Option("all, in columns", "-1"), ...labels.map((name, index) => new Option(name, index)));
    $("image-label-box").hidden = !labels.length;
    $("image-label-box").firstChild.textContent = choice ?? "Class";
    $("image-label").setAttribute("aria-label", choice ?? "Class");
    $("truncation-box").hidden = !truncates;
    $("image-new").hidden = $("image-grid").hidden = Boolean(refused);
    $("grid-name").firstChild.textContent = refused ?? shows;
    $("grid-name").lastChild.textContent = paths ? "choose two: A, then B" : "";
    $("image-path-box").hidden = !paths;
    $("attributes-box").hidden = !attributes.length;
    $("attributes").replaceChildren(...attributes.map((name) => {
      const label = document.createElement("label");
      label.innerHTML = `<span></span><b class="value">0</b><input type="range" min="-1.5" max="1.5" step="0.05" value="0">`;
      label.firstChild.textContent = name;
      const input = label.lastChild;
      input.setAttribute("aria-label", name);
      fill(input);
      input.addEventListener("input", () => { fill(input); input.previousElementSibling.textContent = input.value; this.change(); });
      return label;
    }));
    if (refused) return;
    this.sample();
    if (attributes.length) this.change();
  }

  change() {
    const strengths = [...$("attributes").querySelectorAll("input")].map((input) => Number(input.value));
    this.changing.send({ item: this.item, strengths });
  }

  pick(event) {
    if (!this.sheet || !this.paths) return;
    const box = $("image-grid").getBoundingClientRect(), { columns, cells } = this.sheet;
    const column = Math.floor(((event.clientX - box.left) / box.width) * columns);
    const row = Math.floor(((event.clientY - box.top) / box.height) * Math.ceil(cells / columns));
    this.choose(this.ends[1], Math.min(row * columns + column, cells - 1));
  }

  // Arrows move B, Enter makes it A.
  key(event) {
    if (!this.sheet || !this.paths) return;
    const { columns, cells } = this.sheet, [first, second] = this.ends;
    const moved = second + ({ ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key] ?? 0);
    if (event.key === "Enter") this.choose(second, first);
    else if (moved !== second && moved >= 0 && moved < cells) this.choose(first, moved);
    else return;
    event.preventDefault();
  }

  choose(first, second) {
    this.ends = [first, second];
    this.drawSheet();
    this.link.send("image_path", { first, second });
  }

  drawSheet() {
    const { bitmap, columns, side } = this.sheet, canvas = $("image-grid"), pen = canvas.getContext("2d");
    const zoom = Math.max(1, Math.round(80 / side));
    canvas.width = bitmap.width * zoom;
    canvas.height = bitmap.height * zoom;
    pen.imageSmoothingEnabled = false;
    pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    if (!this.paths) return;
    pen.lineWidth = 4;
    this.ends.forEach((cell, index) => {
      pen.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue(index ? "--warm" : "--accent");
      pen.strokeRect((cell % columns) * side * zoom + 2, Math.floor(cell / columns) * side * zoom + 2, side * zoom - 4, side * zoom - 4);
    });
  }

  drawPath() {
    if (!this.path) return;
    fill($("image-share"));
    const { bitmap, side } = this.path, canvas = $("image-path");
    canvas.width = canvas.height = side;
    canvas.classList.add("crisp");
    canvas.getContext("2d").drawImage(bitmap, Number($("image-share").value) * side, 0, side, side, 0, 0, side, side);
  }
}
