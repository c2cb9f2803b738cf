// The page: a link to the server, the scenes, and what the buttons ask for.

import { read, write } from "./address.js";
import { connect, looks, slider } from "./controls.js";
import { $, download, make, note } from "./dom.js";
import { Episodes } from "./episodes.js";
import { Fan } from "./fan.js";
import { Game } from "./game.js";
import { Gamepads } from "./gamepad.js";
import { drawGhost } from "./ghost.js";
import { help } from "./help.js";
import { Images } from "./images.js";
import { Keys } from "./keys.js";
import { Latents } from "./latents.js";
import { Link } from "./link.js";
import { Nightmares } from "./nightmares.js";
import { SCENES, watched } from "./scenes.js";
import { Watch } from "./watch.js";

const state = { scene: "real", paused: false, hello: null, agent: read().agent ?? "" };
const watch = new Watch((moment) => { game.told(moment); drawGhost(moment); });
const link = new Link(receive, (open) => {
  document.body.classList.toggle("lost", !open);
  if (!open) $("meter").textContent = "no connection";
}, () => state.agent);
const keys = new Keys($("pad"), (held) => link.send("keys", { held }));
const latents = new Latents(link), images = new Images(link, note), game = new Game(link);
const nightmares = new Nightmares(link, begun), episodes = new Episodes(link, begun);
const fan = new Fan(link, () => { if (!state.paused) press.pause(); }, () => ["dream", "episodes"].includes(state.scene));
new Gamepads(keys, () => press.pause());

async function receive(header, blobs) {
  if (header.kind === "moment") await watch.receive(header, blobs);
  else if (header.kind === "hello") hello(header);
  else if (header.kind === "note") told(header);
  else if (header.kind === "file") download(header.name, blobs[0]);
  else if (header.kind === "fan") await fan.receive(header, blobs);
  else if (header.kind === "nightmares") await nightmares.receive(header, blobs);
  else if (header.kind === "episodes") episodes.receive(header);
  else if (header.kind.startsWith("image_")) await images.receive(header, blobs);
  else await latents.receive(header, blobs);
}

function told({ text, refused }) {
  note(text);
  if (refused && state.agent) { state.agent = ""; remember(); } // the server's own agent comes instead
}

// A new session: it is told how the page stands, which after a lost connection is not as it began.
function hello(header) {
  state.hello = header;
  document.title = `${header.name} · worldmodels`;
  $("agent").replaceChildren(...header.agents.map((name) => new Option(name.replace("pretrained/", ""), name)));
  $("agent").value = header.name;
  watch.build(header);
  keys.build(header.actions);
  hints();
  document.querySelector("[data-go=images]").hidden = !header.images.length;
  images.build(header.images);
  latents.reset();
  episodes.reset();
  for (const one of Object.values(sliders)) one.again();
  link.send("hide", { on: document.hidden });
  if (state.paused) link.send("pause", { on: true });
  if ($("wheel").checked) link.send("wheel", { on: true });
  go(state.scene);
}

function hints() {
  const kbd = (text) => make("kbd", { textContent: text }), own = keys.names;
  $("hint").replaceChildren(
    make("span", { className: "for-keys" }, kbd(own[0]), ...(own[1] ? [" or ", kbd(own[1])] : []), " takes over; let go and the agent goes on. ", kbd("?"), " all keys"),
    make("span", { className: "for-touch", textContent: "Hold the buttons to take over; let go and the agent goes on." }));
  help([
    [own.join(" "), "drive: hold to take over"], ["T", "keep the wheel"], ["Space", "pause"], ["N", "one step"], ["R", "begin anew"],
    ["C", "capture this moment for the latents"], ["D", "dream from this z (Latents)"], ["F", "a fan of futures"],
    ["K", "part from reality again (Wake up)"], ["G", "I am dreaming! (Game)"], ["B", "small pictures smooth or crisp"],
    ["L", "dark or light"], ["X", "fill the screen"], [keys.digits ? "Shift+1 …" : "1 …", "the tabs"], ["?", "this help"],
  ]);
}

const tabs = () => [...document.querySelectorAll("[data-go]")].filter((tab) => !tab.hidden);

// What belongs to a scene is in sight, with or without a connection.
function turn(scene) {
  state.scene = scene;
  document.body.dataset.scene = scene;
  for (const tab of document.querySelectorAll("[data-go]")) {
    if (tab.dataset.go === scene) {
      tab.setAttribute("aria-current", "page");
      tab.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else tab.removeAttribute("aria-current");
  }
  for (const part of document.querySelectorAll("[data-in]"))
    part.classList.toggle("elsewhere", !part.dataset.in.split(" ").includes(scene));
}

function go(scene) {
  turn(tabs().some((tab) => tab.dataset.go === scene) ? scene : "real");
  ({ scene } = state);
  remember();
  if (!state.hello) return; // nothing of the agent is known yet; its hello comes back here
  $("sentence").textContent = SCENES[scene].sentence(state.hello);
  watch.turn(scene);
  fan.close();
  game.reset();
  keys.release();
  link.send("scene", { name: scene });
  if (scene === "images") images.open();
  if (scene === "dream") nightmares.ask();
  if (scene === "episodes") episodes.ask();
}

// Something else is shown from its beginning.
function begun() {
  fan.close();
  watch.forget();
  if (state.paused) link.send("step");
}

function remember() {
  const differs = (id, value) => (Number($(id).value) === Number($(id).defaultValue) ? undefined : value);
  write({
    scene: state.scene,
    tau: differs("temperature", sliders.temperature.value()),
    speed: differs("speed", sliders.speed.value()),
    horizon: differs("horizon", sliders.horizon.value()),
    agent: state.agent || undefined,
  });
}

// Buttons and sliders

const press = {
  ...looks(() => { watch.redraw(); latents.draw(); }),
  pause: () => {
    state.paused = !state.paused;
    if (!state.paused) fan.close();
    document.body.classList.toggle("paused", state.paused);
    $("pause").lastChild.textContent = state.paused ? "Play" : "Pause";
    link.send("pause", { on: state.paused });
  },
  step: () => { if (!state.paused) press.pause(); fan.close(); link.send("step"); },
  restart: () => {
    const [start, capture] = $("start").value.split(" ");
    link.send("restart", { start, capture: Number(capture ?? -1) });
    game.reset();
    begun();
  },
  part: () => { watch.curves.apart.clear(); link.send("wake"); },
  fan: () => fan.open(),
  guess: () => game.guess(),
  capture: () => { link.send("capture"); note("Captured: it is among the latents."); },
  "latent-capture": () => press.capture(),
  record: () => link.send("record", { on: !watch.recording }),
  "clip-mp4": () => clip("mp4"),
  "clip-gif": () => clip("gif"),
  "latent-dream": () => { $("start").value = "latent"; go("dream"); press.restart(); },
};
connect(press, (number, shift) => { if ((shift || !keys.digits) && tabs()[number - 1]) go(tabs()[number - 1].dataset.go); });
for (const tab of document.querySelectorAll("[data-go]")) tab.addEventListener("click", () => { tab.blur(); go(tab.dataset.go); });

function clip(format) {
  note(`Writing the last seconds as ${format}…`);
  link.send("clip", { format, seconds: Number($("clip-seconds").value) });
}

$("wheel").addEventListener("change", (event) => { link.send("wheel", { on: event.target.checked }); event.target.blur(); });
$("start").addEventListener("change", (event) => { press.restart(); event.target.blur(); });
$("agent").addEventListener("change", (event) => { state.agent = event.target.value; event.target.blur(); remember(); link.renew(); });

const plain = (input) => Number(input.value);
const sliders = {
  temperature: slider("temperature", plain, (value) => value.toFixed(2), (value) => { link.send("temperature", { value }); remember(); }),
  speed: slider("speed", (input) => Number((2 ** input.value).toFixed(3)), (value) => `${Number(value.toFixed(2))}×`, (value) => { link.send("speed", { value }); remember(); }),
  horizon: slider("horizon", plain, (value) => `${value} steps · ${Math.round(value * (state.hello?.seconds ?? 0))} s`, (value) => { link.send("horizon", { value }); remember(); }),
};

// The address says how to begin; one that is changed by hand, or followed, is obeyed.
function obey({ scene, tau, speed, horizon, agent = "" }, fresh) {
  if (tau !== undefined) sliders.temperature.set(tau);
  if (speed > 0) sliders.speed.set(Math.log2(speed));
  if (horizon !== undefined) sliders.horizon.set(horizon);
  turn(Object.hasOwn(SCENES, scene) ? scene : "real");
  if (fresh) return;
  if (agent !== state.agent) { state.agent = agent; link.renew(); return; }
  for (const one of Object.values(sliders)) one.again();
  go(state.scene);
}
addEventListener("hashchange", () => obey(read(), false));
obey(read(), true);

document.addEventListener("visibilitychange", () => { keys.release(); link.send("hide", { on: document.hidden }); });
setInterval(() => {
  if (document.body.classList.contains("lost") || !state.hello) return;
  const { fps, speed } = watch.player.rates(state.hello.seconds);
  $("meter").textContent = !watched(state.scene) ? "" : state.paused ? "paused" : `${fps.toFixed(0)} fps · ${speed.toFixed(1)}×`;
}, 500);
