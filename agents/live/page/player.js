// Shows the pictures of every moment evenly over the time it lasts.

import { bitmaps } from "./link.js";
import { paint } from "./draw.js";

const LONGEST_LAG = 300; // milliseconds that pictures may wait before the show jumps ahead

export class Player {
  constructor(main, twin, begun) {
    Object.assign(this, { main, twin, begun, queue: [], clock: 0, shown: [], told: [], turn: 0 });
    const tick = (now) => { requestAnimationFrame(tick); this.draw(now); };
    requestAnimationFrame(tick);
  }

  async add(moment, blobs) {
    const turn = this.turn, pictures = await bitmaps(blobs), now = performance.now();
    if (turn !== this.turn) return; // of a scene that was left meanwhile
    const { views, twins } = moment, length = moment.seconds * 1000;
    const start = this.clock - now > LONGEST_LAG ? now : Math.max(now, this.clock);
    if (start === now && this.queue.length) this.flush();
    this.clock = start + length;
    this.told.push([now, moment]);
    const count = Math.max(views, 1), tiles = pictures.slice(views + twins);
    for (let index = 0; index < count; index++)
      this.queue.push({
        at: start + (index * length) / count,
        view: index < views ? pictures[index] : null,
        twin: index < twins ? pictures[views + index] : null,
        moment: index ? null : moment,
        tiles: index ? [] : tiles,
      });
  }

  // Forget what waits to be shown.
  drop() {
    this.turn++;
    this.clock = 0;
    for (const item of this.queue.splice(0)) close(item);
  }

  flush() { while (this.queue.length) this.show(this.queue.shift(), false); }

  draw(now) {
    let due = null;
    while (this.queue.length && this.queue[0].at <= now) {
      if (due) this.show(due, !this.queue.length);
      due = this.queue.shift();
    }
    if (due) this.show(due, true);
  }

  show(item, visible) {
    if (item.moment) this.begun(item.moment, item.tiles);
    if (visible && item.view) {
      paint(this.main, item.view);
      this.main.parentElement.style.setProperty("--ratio", item.view.width / item.view.height);
      this.shown.push(performance.now());
    }
    if (visible && item.twin) {
      paint(this.twin, item.twin);
      this.twin.parentElement.style.setProperty("--ratio", item.twin.width / item.twin.height);
      this.main.closest(".stage").style.setProperty("--ratios", this.main.width / this.main.height + item.twin.width / item.twin.height);
    }
    close(item);
  }

  // Pictures per second, and how fast the world goes compared with its own time.
  rates(worldSeconds) {
    const now = performance.now(), recent = (time) => now - time < 2000;
    this.shown = this.shown.filter(recent);
    this.told = this.told.filter(([time]) => recent(time));
    return { fps: this.shown.length / 2, speed: (this.told.length * worldSeconds) / 2 };
  }
}

const close = ({ view, twin, tiles }) => { for (const bitmap of [view, twin, ...tiles]) bitmap?.close(); };
