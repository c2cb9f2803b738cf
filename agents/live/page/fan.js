// A fan of futures: ghosts of many dreams over the picture they began in, and each of them small beside it.

import { $, calm, fill, say } from "./dom.js";
import { clear, paint } from "./draw.js";
import { bitmaps } from "./link.js";

const OPACITY = .72, HOLD = 6; // stops for which the last picture stays

export class Fan {
  // `pause` stops the show; `field()` says whether the large picture is all that the agent sees.
  constructor(link, pause, whole) {
    Object.assign(this, { link, pause, whole, told: null, turn: 0 });
    $("fan-at").addEventListener("input", () => { this.stop(); this.draw(Number($("fan-at").value)); });
    $("fan-close").addEventListener("click", () => this.close());
  }

  open() {
    this.pause();
    this.close();
    this.link.send("fan");
    say("fan-text", "Dreaming…");
    $("fan-at").value = 0;
    fill($("fan-at"));
    $("fan-box").hidden = false;
    $("fan-box").scrollIntoView({ block: "nearest" });
  }

  close() {
    this.forget();
    this.turn++;
    $("fan-box").hidden = true;
    clear($("overlay"));
    clear($("fan-sheet"));
  }

  forget() {
    this.stop();
    for (const bitmap of this.told?.pictures ?? []) bitmap.close();
    this.told = null;
  }

  async receive(header, blobs) {
    const turn = this.turn, pictures = await bitmaps(blobs);
    if (turn !== this.turn || $("fan-box").hidden) return;
    this.forget(); // who asked twice is answered twice
    this.told = { ...header, pictures };
    const { futures, seconds, least, most, ended } = header;
    const gain = least === most ? `all bring ${most} points` : `they bring ${least} to ${most} points`;
    say("fan-text", `${futures} dreams of the next ${seconds} s: ${gain}${ended ? `, ${ended} end early` : ""}.`);
    Object.assign($("fan-at"), { max: header.stops - 1, value: 0 });
    if (calm.matches) this.draw(header.stops - 1);
    else this.timer = setInterval(() => this.next(), (1000 * seconds) / header.stops);
    this.at = 0;
  }

  next() {
    const { stops } = this.told;
    this.draw(Math.min(this.at, stops - 1));
    this.at = (this.at + 1) % (stops + HOLD);
  }

  stop() { clearInterval(this.timer); }

  draw(stop) {
    if (!this.told) return;
    const { stops, pictures, field, spread } = this.told, main = $("main"), over = $("overlay"), pen = over.getContext("2d");
    const [top, bottom, left, right] = this.whole() ? [0, 1, 0, 1] : field;
    $("fan-at").value = stop;
    fill($("fan-at"));
    $("fan-at").setAttribute("aria-valuetext", `${((stop / (stops - 1)) * this.told.seconds).toFixed(1)} s ahead, apart by ${spread[stop]}`);
    over.width = main.width;
    over.height = main.height;
    pen.globalAlpha = OPACITY;
    pen.imageSmoothingEnabled = main.width > 128;
    pen.drawImage(pictures[stop], left * main.width, top * main.height, (right - left) * main.width, (bottom - top) * main.height);
    paint($("fan-sheet"), pictures[stops + stop]);
  }
}
