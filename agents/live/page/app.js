// The page: what it shows of every moment, and what its buttons ask for.

import { Curve, paint } from "./draw.js";
import { Images } from "./images.js";
import { Keys } from "./keys.js";
import { Latents } from "./latents.js";
import { Link } from "./link.js";
import { Player } from "./player.js";

const $ = (id) => document.getElementById(id);
const state = { scene: "real", paused: false, recording: false, saved: 0, hello: null };
const curves = {
  total: new Curve(document.querySelector("[data-curve=total]"), [0, 1], "--accent"),
  apart: new Curve(document.querySelector("[data-curve=apart]"), [0, 1], "--warm"),
  reward: new Curve(document.querySelector("[data-curve=reward]"), [0, 1], "--accent"),
  surprise: new Curve(document.querySelector("[data-curve=surprise]"), [0, 1], "--warm"),
  end: new Curve(document.querySelector("[data-curve=end]"), [0, 1], "--bad"),
};
const player = new Player($("main"), $("twin"), begun);
const link = new Link(receive, (open) => {
  document.body.classList.toggle("lost", !open);
  if (!open) $("meter").textContent = "no connection";
});
const keys = new Keys($("pad"), (held) => link.send("keys", { held }));
const latents = new Latents(link), images = new Images(link, note);

async function receive(header, blobs) {
  if (header.kind === "moment") await player.add(header, blobs);
  else if (header.kind === "hello") hello(header);
  else if (header.kind === "note") note(header.text);
  else if (header.kind === "file") save(header.name, blobs[0]);
  else if (header.kind.startsWith("image_")) await images.receive(header, blobs);
  else await latents.receive(header, blobs);
}

// A new session: it is told how the page stands, which after a lost connection is not as it began.
function hello(header) {
  state.hello = header;
  $("agent").textContent = header.agent;
  document.title = `${header.agent} · worldmodels`;
  keys.build(header.actions);
  $("actions").replaceChildren(...header.actions.map(({ name }) => {
    const row = document.createElement("div");
    row.innerHTML = `<span></span><span class="track"><i></i></span><output></output>`;
    row.firstChild.textContent = name;
    return row;
  }));
  const digits = header.actions[0].keys[0] === null && /\d/.test(header.actions[0].keys[1] ?? "");
  $("hint").innerHTML = `<span class="for-keys">${digits ? "<kbd>1</kbd>…<kbd>9</kbd>" : "<kbd>←↑↓→</kbd> or <kbd>WASD</kbd>"} takes over; let go and the agent goes on.<br><kbd>Space</kbd> pause <kbd>N</kbd> step <kbd>R</kbd> restart <kbd>C</kbd> capture <kbd>T</kbd> keep the wheel</span><span class="for-touch">Hold the buttons below to take over; let go and the agent goes on.</span>`;
  document.querySelector("[data-go=images]").hidden = !header.images.length;
  images.build(header.images);
  state.recording = false;
  for (const input of document.querySelectorAll("#temperature, #speed, #horizon")) input.dispatchEvent(new Event("input"));
  if (state.paused) link.send("pause", { on: true });
  if ($("wheel").checked) link.send("wheel", { on: true });
  go(state.scene);
}

function go(scene) {
  state.scene = scene;
  document.body.dataset.scene = scene;
  for (const tab of document.querySelectorAll("[data-go]")) tab.setAttribute("aria-selected", tab.dataset.go === scene);
  for (const curve of Object.values(curves)) curve.clear();
  $("main-caption").textContent = scene === "dream" ? "the dream" : "the real world";
  $("return-name").textContent = scene === "dream" ? "predicted return" : "return";
  $("over").hidden = $("twin-over").hidden = true;
  keys.release();
  link.send("scene", { name: scene });
  if (scene === "images") images.open();
}

function begun(moment, tiles) {
  if (moment.scene !== state.scene) return;
  for (const [name, curve] of Object.entries(curves))
    curve.add(name === "apart" ? moment.dreamed_for : moment.step, moment[name]);
  const show = (id, value, digits) => { $(id).textContent = value === null || value === undefined ? "" : value.toFixed(digits); };
  show("return", moment.total, 1);
  show("reward", moment.reward, 2);
  show("surprise", moment.surprise, 2);
  show("end", moment.end, 2);
  show("apart", moment.apart, 2);
  document.body.classList.toggle("by-hand", moment.by_hand);
  $("driver").textContent = moment.by_hand ? "you" : "agent";
  $("driver").classList.toggle("you", moment.by_hand);
  $("who").textContent = moment.by_hand ? "yours" : "the agent's";
  message("over", moment.over);
  message("twin-over", moment.twin_over);
  [...$("actions").children].forEach((row, index) => {
    const { low, high } = state.hello.actions[index], value = moment.action[index], zero = Math.max(low, 0);
    const share = (x) => (100 * (x - low)) / (high - low), bar = row.querySelector("i");
    bar.style.left = `${Math.min(share(zero), share(value))}%`;
    bar.style.width = `${Math.abs(share(value) - share(zero))}%`;
    row.lastChild.textContent = value.toFixed(2);
  });
  showTiles(moment.tiles, tiles);
  state.recording = moment.recording;
  $("record").setAttribute("aria-pressed", moment.recording);
  $("record").lastChild.textContent = moment.recording ? `Recording · ${moment.saved} saved` : "Record drives";
  if (moment.saved > state.saved) note(`Saved to ${state.hello.drives}: V and M can learn from it.`);
  state.saved = moment.saved;
}

function showTiles(captions, bitmaps) {
  if (!bitmaps.length) return;
  const box = $("tiles");
  if (box.children.length !== captions.length)
    box.replaceChildren(...captions.map(() => {
      const figure = document.createElement("figure");
      figure.append(document.createElement("canvas"), document.createElement("figcaption"));
      return figure;
    }));
  captions.forEach((caption, index) => {
    paint(box.children[index].firstChild, bitmaps[index]);
    box.children[index].lastChild.textContent = caption;
  });
}

function message(id, text) {
  $(id).hidden = !text;
  $(id).textContent = text || "";
}

let hush;
function note(text) {
  message("note", text);
  clearTimeout(hush);
  hush = setTimeout(() => message("note", ""), 6000);
}

function save(name, blob) {
  const anchor = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), 60_000);
  note(`${name} is in your downloads.`);
}

// Buttons and sliders

const press = {
  pause: () => {
    state.paused = !state.paused;
    document.body.classList.toggle("paused", state.paused);
    $("pause").lastChild.textContent = state.paused ? "Play" : "Pause";
    link.send("pause", { on: state.paused });
  },
  step: () => { if (!state.paused) press.pause(); link.send("step"); },
  restart: () => {
    const [start, capture] = $("start").value.split(" ");
    link.send("restart", { start, capture: Number(capture ?? -1) });
    for (const curve of Object.values(curves)) curve.clear();
    if (state.paused) link.send("step");
  },
  wake: () => { curves.apart.clear(); link.send("wake"); },
  capture: () => { link.send("capture"); note("Captured: it is among the latents."); },
  record: () => link.send("record", { on: !state.recording }),
  "clip-mp4": () => clip("mp4"),
  "clip-gif": () => clip("gif"),
  theme: () => {
    const light = document.documentElement.dataset.theme !== "light";
    document.documentElement.dataset.theme = light ? "light" : "dark";
    localStorage.setItem("theme", document.documentElement.dataset.theme);
    for (const curve of Object.values(curves)) curve.stale = true;
    latents.draw();
  },
};
for (const [id, act] of Object.entries(press)) $(id).addEventListener("click", () => { act(); $(id).blur(); });
for (const tab of document.querySelectorAll("[data-go]")) tab.addEventListener("click", () => { tab.blur(); go(tab.dataset.go); });

function clip(format) {
  note(`Writing the last seconds as ${format}…`);
  link.send("clip", { format, seconds: Number($("clip-seconds").value) });
}

const KEYS = { Space: "pause", KeyN: "step", KeyR: "restart", KeyC: "capture", KeyK: "wake", KeyL: "theme" };
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.closest("select")) return;
  if (event.code === "Space" && event.target.closest("button, input")) return;
  if (event.code === "KeyT") $("wheel").click();
  else if (KEYS[event.code]) press[KEYS[event.code]]();
  else return;
  event.preventDefault();
});
$("wheel").addEventListener("change", (event) => { link.send("wheel", { on: event.target.checked }); event.target.blur(); });
$("start").addEventListener("change", (event) => { press.restart(); event.target.blur(); });

function slider(id, value, text, send) {
  const input = $(id), output = input.previousElementSibling;
  input.addEventListener("input", () => {
    output.textContent = text(value(input));
    input.style.setProperty("--at", `${(100 * (input.value - input.min)) / (input.max - input.min)}%`);
    send(value(input));
  });
  input.addEventListener("pointerup", () => input.blur()); // arrow keys drive again
}
for (const input of document.querySelectorAll("input[type=range]"))
  input.style.setProperty("--at", `${(100 * (input.value - input.min)) / (input.max - input.min)}%`);
const plain = (input) => Number(input.value);
slider("temperature", plain, (value) => value.toFixed(2), (value) => link.send("temperature", { value }));
slider("speed", (input) => 2 ** input.value, (value) => `${Number(value.toFixed(2))}×`, (value) => link.send("speed", { value }));
slider("horizon", plain, (value) => `${value} steps · ${Math.round(value * (state.hello?.seconds ?? 0))} s`, (value) => link.send("horizon", { value }));

document.addEventListener("visibilitychange", () => { keys.release(); link.send("hide", { on: document.hidden }); });

setInterval(() => {
  if (document.body.classList.contains("lost") || !state.hello) return;
  const { fps, speed } = player.rates(state.hello.seconds);
  const moving = !["latents", "images"].includes(state.scene) && !state.paused;
  $("meter").textContent = moving ? `${fps.toFixed(0)} fps · ${speed.toFixed(1)}×` : state.paused ? "paused" : "";
}, 500);
setInterval(() => { for (const curve of Object.values(curves)) if (curve.stale) curve.draw(); }, 66);
addEventListener("resize", () => { for (const curve of Object.values(curves)) curve.stale = true; latents.draw(); });
