// The page of an image model: a picture, the numbers it is made of, and what lies between two pictures.

"use strict";

const SAMPLES = 15; // on the strip, beside which others can be asked for

const inputs = MODEL.latents + MODEL.classes.length;
const network = new Network(new Arena(bytesOf(MODEL.kernel)), MODEL.decoder, unpack(MODEL), inputs);
const latents = new Latents($("numbers"), MODEL.effects, (z) => show($("picture"), draw(z, state.label), network.output));
const state = { label: 0, seed: anySeed(), from: null, to: null };

// A picture of z; a model of classes is told which by a 1 in its place.
function draw(z, label) {
  return network.run([...z, ...MODEL.classes.map((_, index) => Number(index === label))]);
}

const sample = (seed) => new Noise(seed).normals(0, 0, MODEL.latents);

// The point `share` of the angle from a to b, the length going from one to the other (Shoemake 1985): latents of a
// normal distribution lie on a shell, and a straight line would cut through it.
function between(a, b, share) {
  const length = (x) => Math.sqrt(x.reduce((sum, value) => sum + value * value, 0)), one = length(a), other = length(b);
  const cosine = a.reduce((sum, value, index) => sum + value * b[index], 0) / (one * other);
  const angle = Math.acos(Math.max(-1, Math.min(1, cosine))), sine = Math.sin(angle);
  if (!(sine > 1e-4)) return a.map((value, index) => value + share * (b[index] - value));
  const size = one + share * (other - one), [left, right] = [Math.sin((1 - share) * angle), Math.sin(share * angle)];
  return a.map((value, index) => (size / sine) * ((left * value) / one + (right * b[index]) / other));
}

function strip() {
  $("starts").replaceChildren(...Array.from({ length: SAMPLES }, (_, index) => {
    const [card, canvas] = ["button", "canvas"].map((name) => document.createElement(name));
    const z = sample(state.seed + index);
    show(canvas, draw(z, state.label), network.output);
    card.append(canvas);
    card.setAttribute("aria-label", `Picture ${index + 1} of ${SAMPLES}`);
    card.addEventListener("click", () => choose(card, z));
    return card;
  }));
}

// The other end of the slider.
function choose(card, z) {
  for (const other of $("starts").children) other.setAttribute("aria-pressed", String(other === card));
  Object.assign(state, { from: latents.z.slice(), to: z });
  $("between").disabled = false;
  $("between").value = 0;
  fill($("between"));
}

// The picture is another one now: nothing lies between it and what was chosen.
function forget() {
  for (const card of $("starts").children) card.setAttribute("aria-pressed", "false");
  $("between").disabled = true;
  $("between").value = 0;
  fill($("between"));
}

const shortened = (z) => Float32Array.from(z, (value) => Number(value.toFixed(2)));

function tell() {
  const z = [...latents.z].map((value) => Number(value.toFixed(2))).join(",");
  history.replaceState(null, "", `#${MODEL.classes.length ? `label=${state.label}&` : ""}z=${z}`);
}

function open() {
  const asked = new URLSearchParams(location.hash.slice(1)), z = (asked.get("z") ?? "").split(",").map(Number);
  const label = Number(asked.get("label") ?? 0);
  state.label = Number.isInteger(label) && label >= 0 && label < MODEL.classes.length ? label : 0;
  $("label").value = String(state.label);
  const sensible = z.length === MODEL.latents && z.every((value) => Math.abs(value) <= 9);
  latents.set(sensible ? z : shortened(sample(anySeed())));
  strip();
  forget();
  tell();
}

const press = {
  another: () => {
    state.seed = anySeed();
    latents.set(shortened(sample(state.seed + SAMPLES)));
    strip();
    forget();
    tell();
  },
  zero: () => { latents.set(latents.z.map(() => 0)); forget(); tell(); },
  pixels: () => $("pixels").setAttribute("aria-pressed", String(document.body.classList.toggle("crisp"))),
  share: () => { tell(); copyAddress(); },
  theme: switchTheme,
};
for (const [id, act] of Object.entries(press)) $(id).addEventListener("click", act);
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select")) return;
  const name = { KeyM: "another", KeyL: "theme" }[event.code];
  if (name) press[name]();
});
$("numbers").addEventListener("input", forget);
$("numbers").addEventListener("change", tell);
$("between").addEventListener("input", () => {
  fill($("between"));
  latents.set(between(state.from, state.to, Number($("between").value)));
});
$("between").addEventListener("change", tell);
$("label").addEventListener("change", () => {
  state.label = Number($("label").value);
  latents.draw();
  strip();
  forget();
  tell();
});

say({ latents: MODEL.latents, model: MODEL.model, weights: grouped(MODEL.weights) });
$("label-box").hidden = !MODEL.classes.length;
$("label").replaceChildren(...MODEL.classes.map((name, index) => new Option(name, String(index))));
open();
addEventListener("hashchange", open);
