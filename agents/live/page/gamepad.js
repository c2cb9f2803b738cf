// Gamepads: the left stick or the cross steers, the right trigger or A goes, the left one or B brakes, Start pauses.

const DEAD = .35, PRESSED = .3, START = 9;
const HELD = {
  left: ({ axes, buttons }) => axes[0] < -DEAD || buttons[14]?.pressed,
  right: ({ axes, buttons }) => axes[0] > DEAD || buttons[15]?.pressed,
  up: ({ buttons }) => buttons[7]?.value > PRESSED || buttons[0]?.pressed || buttons[12]?.pressed,
  down: ({ buttons }) => buttons[6]?.value > PRESSED || buttons[1]?.pressed || buttons[13]?.pressed,
};

export class Gamepads {
  constructor(keys, pause) {
    Object.assign(this, { keys, pause, held: new Set(), started: false, running: false });
    addEventListener("gamepadconnected", () => { if (!this.running) { this.running = true; this.poll(); } });
  }

  poll() {
    const pads = navigator.getGamepads().filter(Boolean);
    for (const [name, down] of Object.entries(HELD)) {
      const now = name in this.keys.buttons && pads.some(down);
      if (now === this.held.has(name)) continue;
      this.held[now ? "add" : "delete"](name);
      this.keys.set(name, now);
    }
    const start = pads.some(({ buttons }) => buttons[START]?.pressed);
    if (start && !this.started) this.pause();
    this.started = start;
    this.running = pads.length > 0;
    if (this.running) requestAnimationFrame(() => this.poll());
  }
}
