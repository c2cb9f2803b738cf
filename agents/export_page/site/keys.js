// Keys and touch that take over from the agent: what is held goes to the driver.

"use strict";

const KEY_NAMES = {
  ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down",
  KeyA: "left", KeyD: "right", KeyW: "up", KeyS: "down",
};
const GLYPHS = { left: "←", up: "↑", down: "↓", right: "→" }, LETTERS = { up: "W", left: "A", down: "S", right: "D" };

class Keys {
  // One button on the pad for each key that does something; those to the sides lie in one group, the others in another.
  constructor(pad, action, driver) {
    Object.assign(this, { pad, driver, touches: new Map(), buttons: {} });
    const groups = [document.createElement("div"), document.createElement("div")];
    action.keys.forEach((pair, index) => pair.forEach((key, end) => {
      if (!key || this.buttons[key]) return;
      const button = document.createElement("button"), name = action.names[index];
      const what = pair[0] && pair[1] ? `${name} ${end ? "+" : "−"}` : name;
      Object.assign(button, { type: "button", tabIndex: -1, className: `key ${key}` });
      button.dataset.key = key;
      button.setAttribute("aria-label", `${what}: hold`);
      button.append(GLYPHS[key] ?? key, Object.assign(document.createElement("small"), { textContent: name }));
      this.buttons[key] = button;
      groups[key === "up" || key === "down" ? 1 : 0].append(button);
    }));
    pad.replaceChildren(...groups.filter((group) => group.children.length));
    addEventListener("keydown", (event) => this.key(event, true));
    addEventListener("keyup", (event) => this.key(event, false));
    addEventListener("blur", () => this.release());
    document.addEventListener("visibilitychange", () => this.release());
    for (const type of ["pointerdown", "pointermove", "pointerup", "pointercancel"])
      pad.addEventListener(type, (event) => this.touch(event));
    pad.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  // The keys in words: arrows and their letters, or digits.
  told() {
    const names = Object.keys(this.buttons), glyphs = Object.keys(GLYPHS).filter((name) => this.buttons[name]);
    const shown = (text) => `<kbd>${text}</kbd>`;
    if (!glyphs.length) return `${shown(names[0])} to ${shown(names.at(-1))}`;
    const letters = Object.keys(LETTERS).filter((name) => this.buttons[name]).map((name) => LETTERS[name]);
    return `${shown(glyphs.map((name) => GLYPHS[name]).join(""))} or ${shown(letters.join(""))}`;
  }

  key(event, down) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const name = KEY_NAMES[event.code] ?? (/^Digit[1-9]$/.test(event.code) ? event.code.at(-1) : null);
    if (!this.buttons[name] || (down && (event.target.closest?.("input, select") || !this.pad.clientWidth))) return;
    event.preventDefault();
    this.set(name, down);
  }

  // A finger that slides from one button to another lets go of the first.
  touch(event) {
    const under = document.elementFromPoint(event.clientX, event.clientY)?.closest("[data-key]")?.dataset.key;
    const active = event.type === "pointerdown" || (event.type === "pointermove" && this.touches.has(event.pointerId));
    const before = this.touches.get(event.pointerId), now = active ? under : undefined;
    if (event.type === "pointerdown" && under) this.pad.setPointerCapture(event.pointerId);
    if (now) this.touches.set(event.pointerId, now); else this.touches.delete(event.pointerId);
    if (before && before !== now) this.set(before, false);
    if (now && before !== now) this.set(now, true);
  }

  release() { for (const name of [...this.driver.held]) this.set(name, false); }

  set(name, down) {
    this.driver.held[down ? "add" : "delete"](name);
    this.buttons[name].classList.toggle("held", down);
  }
}
