// The moments that M foretold worst; a click begins a dream there.

import { $, make } from "./dom.js";
import { paint } from "./draw.js";
import { bitmaps } from "./link.js";

export class Nightmares {
  constructor(link, begun) {
    this.link = link;
    this.begun = begun;
    $("scan").addEventListener("click", () => {
      link.send("scan");
      $("scan").disabled = true;
      $("scan").textContent = "looking…";
    });
  }

  ask() { this.link.send("nightmares"); }

  async receive({ nightmares }, blobs) {
    const pictures = await bitmaps(blobs);
    $("scan").disabled = false;
    $("scan").textContent = "look in recordings";
    $("nightmares").replaceChildren(...nightmares.map(({ id, surprise, step }, index) => {
      const canvas = make("canvas", { role: "img", ariaLabel: `what V saw at step ${step}` });
      paint(canvas, pictures[index]);
      const button = make("button", { title: `step ${step}: surprise ${surprise}`, ariaLabel: `Dream from the moment of surprise ${surprise}` }, canvas, make("small", { textContent: surprise.toFixed(1) }));
      button.addEventListener("click", () => { button.blur(); this.link.send("restart", { start: "nightmare", capture: id }); this.begun(); });
      return button;
    }));
  }
}
