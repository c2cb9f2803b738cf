// Keys, touch and gamepads: what is held goes to the server, everything else is a button's key.

const NAMES = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down", KeyA: "left", KeyD: "right", KeyW: "up", KeyS: "down" };
const GLYPHS = { left: "←", right: "→", up: "↑", down: "↓" };
const LETTERS = { left: "A", right: "D", up: "W", down: "S" };

export class Keys {
  constructor(pad, changed) {
    Object.assign(this, { pad, changed, held: new Set(), touches: new Map(), buttons: {} });
    addEventListener("keydown", (event) => this.key(event, true));
    addEventListener("keyup", (event) => this.key(event, false));
    addEventListener("blur", () => this.release());
    for (const type of ["pointerdown", "pointermove", "pointerup", "pointercancel"])
      pad.addEventListener(type, (event) => this.touch(event));
    pad.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  // One button for each key that does something in this world.
  build(actions) {
    const told = {};
    for (const { name, keys: [down, up] } of actions) {
      if (down) told[down] = told[down] ?? name;
      if (up) told[up] = told[up] ?? name;
    }
    this.buttons = {};
    this.pad.replaceChildren(...Object.entries(told).map(([key, name]) => {
      const button = document.createElement("button");
      button.type = "button";
      button.tabIndex = -1;
      button.dataset.key = key;
      button.setAttribute("aria-label", `${name}: ${key}`);
      if (GLYPHS[key]) button.style.gridArea = key;
      button.append(GLYPHS[key] ?? key);
      button.append(Object.assign(document.createElement("small"), { textContent: name }));
      return (this.buttons[key] = button);
    }));
    this.pad.classList.toggle("many", !told.left && !told.right);
    this.pad.classList.toggle("flat", !told.up && !told.down);
  }

  // The keys of this world, as people call them: ["← →", "A D"], or ["1 2 3"].
  get names() {
    const own = Object.keys(this.buttons), arrows = Object.keys(GLYPHS).filter((key) => own.includes(key));
    if (!arrows.length) return [own.join(" ")];
    return [arrows.map((key) => GLYPHS[key]).join(" "), arrows.map((key) => LETTERS[key]).join(" ")];
  }

  // Whether this world takes digits.
  get digits() { return "1" in this.buttons; }

  key(event, down) {
    if (event.ctrlKey || event.metaKey || event.altKey || (down && event.shiftKey)) return;
    const name = NAMES[event.code] ?? (/^Digit[1-9]$/.test(event.code) ? event.code.at(-1) : null);
    if (!name || !this.buttons[name] || (down && event.target.closest?.("input:not([type=checkbox]), select, #bars, dialog"))) return;
    event.preventDefault();
    this.set(name, down);
  }

  touch(event) {
    const under = document.elementFromPoint(event.clientX, event.clientY)?.closest("[data-key]")?.dataset.key;
    const active = event.type === "pointerdown" || (event.type === "pointermove" && this.touches.has(event.pointerId));
    const before = this.touches.get(event.pointerId), now = active ? under : undefined;
    if (event.type === "pointerdown" && under) this.pad.setPointerCapture(event.pointerId);
    if (now) this.touches.set(event.pointerId, now); else this.touches.delete(event.pointerId);
    if (before && before !== now) this.set(before, false);
    if (now && before !== now) this.set(now, true);
  }

  release() { for (const name of [...this.held]) this.set(name, false); }

  set(name, down) {
    if (this.held.has(name) === down) return;
    this.held[down ? "add" : "delete"](name);
    this.buttons[name]?.classList.toggle("down", down);
    this.changed([...this.held]);
  }
}
