// The page: its buttons and sliders, and what it says.

"use strict";


const dream = new Dream(MODEL), driver = new Driver(MODEL.action);
const keys = new Keys($("pad"), MODEL.action, driver);
const curves = {
  total: new Curve($("total-curve"), MODEL.words.total, [0, 1], MODEL.mdnrnn.rewardHead ? 1 : 0),
  end: new Curve($("end-curve"), "chance that the dream ends", [0, 1], 1),
};
const paint = (canvas) => (z) => show(canvas, dream.paint(z), dream.vae.output);
const latents = new Latents($("numbers"), MODEL.effects, paint($("latent-picture")));
const player = new Player(dream, driver, {
  draw: paint($("picture")),
  decided,
  ended: () => begin({ seed: (state.seed + 1) % MOST_SEEDS, start: state.start, z: state.z }),
});

// What the address tells, and the view.
const state = { view: "dream", seed: 0, start: null, z: null, tau: 1 };
const tell = () => writeAddress({ ...state, z: state.view === "latents" ? latents.z : state.z });

// A dream from its beginning: at a start, at z without a past, or where the seed says.
function begin({ seed, start = null, z = null }) {
  Object.assign(state, { seed, start, z });
  dream.reset(seed, start);
  if (z) dream.begin(z);
  for (const curve of Object.values(curves)) curve.clear();
  message($("over"), "");
  for (const button of $("starts").children)
    button.setAttribute("aria-pressed", String(!z && (start === null ? "any" : String(start)) === button.dataset.start));
  player.begin();
  tell();
}

function decided({ action, byHand, end, total, over }) {
  curves.total.add(total, byHand);
  curves.end.add(end, byHand);
  $("total").textContent = total.toFixed(MODEL.mdnrnn.rewardHead ? 1 : 0).replace("-", "−");
  $("end").textContent = `${(100 * end).toFixed(end < 0.1 ? 1 : 0)} %`;
  document.body.classList.toggle("by-hand", byHand);
  $("driver").textContent = byHand ? "you" : "agent";
  [...$("actions").children].forEach((row, index) => {
    const low = MODEL.action.low[index], high = MODEL.action.high[index], zero = Math.max(low, 0);
    const share = (value) => (100 * (value - low)) / (high - low), bar = row.querySelector("i");
    bar.style.left = `${Math.min(share(zero), share(action[index]))}%`;
    bar.style.width = `${Math.abs(share(action[index]) - share(zero))}%`;
    row.lastChild.textContent = action[index].toFixed(2).replace("-", "−");
  });
  message($("over"), { end: "M foresees the end here.", time: "Its time is up." }[over] ?? "");
}

function message(element, text) {
  element.hidden = !text;
  element.textContent = text;
}

function go(view) {
  state.view = view;
  document.body.dataset.view = view;
  for (const tab of document.querySelectorAll("[data-go]"))
    if (tab.dataset.go === view) tab.setAttribute("aria-current", "page"); else tab.removeAttribute("aria-current");
  keys.release();
  wait(state.waiting || view !== "dream");
  if (view === "latents" && !latents.touched) latents.set(dream.z);
  if (view === "latents") latents.draw();
  for (const curve of Object.values(curves)) curve.stale = true;
  tell();
}

// Paused, by the button (`state.waiting`) or because another view is open.
function wait(on) {
  player.paused = on;
  document.body.classList.toggle("paused", state.waiting);
  $("pause").lastChild.textContent = state.waiting ? "Play" : "Pause";
  if (!state.waiting) $("begin").hidden = true;
}

// Buttons

const press = {
  pause: () => { state.waiting = !state.waiting; wait(state.waiting); },
  begin: () => press.pause(),
  step: () => { if (!state.waiting) press.pause(); $("begin").hidden = true; player.step(); },
  again: () => begin(state),
  another: () => begin({ seed: anySeed(), start: state.start }),
  pixels: () => {
    const crisp = document.body.classList.toggle("crisp");
    $("pixels").setAttribute("aria-pressed", String(crisp));
  },
  share: () => { tell(); copyAddress(); },
  theme: () => { switchTheme(); for (const curve of Object.values(curves)) curve.stale = true; },
  zero: () => { latents.set(latents.z.map(() => 0)); tell(); },
  random: () => { latents.set(new Noise(anySeed()).normals(0, 0, MODEL.latents)); tell(); },
  "from-dream": () => { latents.set(dream.z); tell(); },
  "dream-from": () => { begin({ seed: state.seed, z: shortened(latents.z) }); go("dream"); },
};
for (const [id, act] of Object.entries(press)) $(id).addEventListener("click", act);
for (const tab of document.querySelectorAll("[data-go]")) tab.addEventListener("click", () => go(tab.dataset.go));
$("numbers").addEventListener("change", tell);

const SHORTCUTS = { Space: "pause", KeyN: "step", KeyR: "again", KeyM: "another", KeyL: "theme" };
addEventListener("keydown", (event) => {
  const name = SHORTCUTS[event.code];
  if (!name || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.code === "Space" && event.target.closest("button, input, select")) return;
  if (name !== "theme" && state.view !== "dream") return;
  event.preventDefault();
  press[name]();
});

// Sliders

const TEMPERATURES = [
  [0.02, "The likeliest always comes true."], [0.8, "Calm: the likely happens."], [1.2, "Luck as M expects it."],
  [2, "Restless: the unlikely happens."], [3, "A fever dream."],
];

function slider(id, value, text, changed) {
  const input = $(id), told = () => { $(`${id}-value`).textContent = text(value()); fill(input); changed(value()); };
  input.addEventListener("input", told);
  input.addEventListener("pointerup", () => input.blur()); // so that arrow keys drive again
  told();
}
slider("temperature", () => Number($("temperature").value), (tau) => tau.toFixed(2), (tau) => {
  dream.temperature = state.tau = tau;
  $("temperature-words").textContent = TEMPERATURES.find(([most]) => tau <= most)[1];
});
$("temperature").addEventListener("change", tell);
slider("speed", () => 2 ** $("speed").value, (speed) => `${Number(speed.toFixed(2))}×`, (speed) => {
  player.speed = speed;
});

// What is built once

function build() {
  const { words, parameters: count, mdnrnn } = MODEL;
  say({
    ...{ world: words.world, total: words.total, agent: MODEL.agent, latents: MODEL.latents, memory: mdnrnn.hidden },
    ...{ V: grouped(count.V), M: grouped(count.M), C: grouped(count.C) },
  });
  $("keys-told").innerHTML = keys.told();
  $("end-box").hidden = !mdnrnn.terminationHead;
  $("actions").replaceChildren(...MODEL.action.names.map((name) => {
    const row = document.createElement("div");
    row.innerHTML = `<span></span><span class="track"><i></i></span><output aria-live="off"></output>`;
    row.firstChild.textContent = name;
    return row;
  }));
  gallery();
}

// The moments to begin from as V paints them, the starts of episodes first.
function gallery() {
  const { warm, count } = MODEL.starts, rows = [...Array(count).keys()].sort((a, b) => warm[a] - warm[b] || a - b);
  const any = document.createElement("button");
  any.textContent = "any";
  any.dataset.start = "any";
  any.setAttribute("aria-label", "Begin anywhere: the seed decides");
  any.addEventListener("click", () => begin({ seed: state.seed }));
  const cards = rows.map((row, index) => {
    const card = document.createElement("button"), canvas = document.createElement("canvas");
    card.dataset.start = String(row);
    card.title = warm[row] ? "a moment in the middle of an episode" : "the start of an episode";
    card.setAttribute("aria-label", `Begin at moment ${index + 1} of ${count}: ${card.title}`);
    paint(canvas)(dream.starts.mean[row]);
    card.append(canvas);
    card.addEventListener("click", () => begin({ seed: state.seed, start: row }));
    return card;
  });
  $("starts").replaceChildren(any, ...cards);
}

// What the address asks for, now and whenever somebody changes it.
function open() {
  const asked = readAddress(MODEL);
  $("temperature").value = asked.tau ?? state.tau;
  $("temperature").dispatchEvent(new Event("input"));
  if (asked.view === "latents") {
    begin({ seed: state.seed });
    if (asked.z) latents.set(asked.z);
  } else begin({ seed: asked.seed ?? anySeed(), start: asked.start, z: asked.z });
  go(asked.view);
}

build();
state.waiting = matchMedia("(prefers-reduced-motion: reduce)").matches;
open();
$("begin").hidden = !state.waiting;
addEventListener("hashchange", open);
addEventListener("resize", () => { for (const curve of Object.values(curves)) curve.stale = true; });
setInterval(() => { for (const curve of Object.values(curves)) if (curve.stale) curve.draw(); }, 80);

let counted = { pictures: 0, at: performance.now() };
setInterval(() => {
  const at = performance.now(), rate = (1000 * (player.pictures - counted.pictures)) / (at - counted.at);
  counted = { pictures: player.pictures, at };
  $("meter").textContent = player.paused ? "" : `${rate.toFixed(0)} pictures a second, all of them made here`;
}, 1000);
