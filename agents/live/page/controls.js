// Buttons, sliders and their keys.

import { $, fill, note } from "./dom.js";
import { toggleHelp } from "./help.js";

// The page's own look, kept in this browser.
export function looks(redraw) {
  const crisp = (on) => {
    document.body.classList.toggle("smooth", !on);
    $("crisp").setAttribute("aria-pressed", !on);
    localStorage.setItem("crisp", on ? "yes" : "no");
  };
  crisp(localStorage.getItem("crisp") !== "no");
  return {
    crisp: () => crisp(document.body.classList.contains("smooth")),
    full: () => { // which a browser may refuse, e.g. to a page within another
      const done = document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen?.();
      done?.catch(() => note("This browser does not let the page fill the screen."));
    },
    help: toggleHelp,
    theme: () => {
      const theme = document.documentElement.dataset.theme === "light" ? "dark" : "light";
      document.documentElement.dataset.theme = theme;
      localStorage.setItem("theme", theme);
      redraw();
    },
  };
}

// The buttons of every key; the first that is in sight is pressed.
const KEYS = {
  Space: ["pause"], KeyF: ["fan"], KeyG: ["guess"], KeyN: ["step"], KeyR: ["restart"], KeyC: ["capture", "latent-capture"], KeyD: ["latent-dream"], KeyK: ["part"],
  KeyL: ["theme"], KeyB: ["crisp"], KeyX: ["full"],
};
const visible = (id) => $(id).getClientRects().length > 0;

// `press` has an action for the id of every button; a key does what its button would, where there is one.
export function connect(press, digit) {
  for (const [id, act] of Object.entries(press)) $(id).addEventListener("click", () => { act(); $(id).blur(); });
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.closest("select, dialog, input:not([type=checkbox], [type=range])")) return;
    if (event.code === "Space" && event.target.closest("button, input")) return;
    if (event.key === "?") press.help();
    else if (/^Digit[1-9]$/.test(event.code)) { digit(Number(event.code.at(-1)), event.shiftKey); return; }
    else if (event.code === "KeyT" && visible("pad")) $("wheel").click();
    else {
      const button = KEYS[event.code]?.find(visible);
      if (!button) return;
      press[button]();
    }
    event.preventDefault();
  });
}

// A slider with its value in words; gives a function that sets it.
export function slider(id, value, text, send) {
  const input = $(id), output = input.previousElementSibling;
  const show = () => {
    output.textContent = text(value(input));
    input.setAttribute("aria-valuetext", output.textContent);
    fill(input);
  };
  input.addEventListener("input", () => { show(); send(value(input)); });
  input.addEventListener("pointerup", () => input.blur()); // arrow keys drive again
  show();
  return { value: () => value(input), again: () => { show(); send(value(input)); }, set: (raw) => { input.value = raw; show(); } };
}
