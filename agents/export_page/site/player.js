// The clock: decisions at the world's own pace, and pictures between them on the straight line between their latents.

"use strict";

const PICTURES_PER_SECOND = 50; // that are painted, where the machine can
const PAUSE_AT_END = 1.5; // seconds for which a dream that is over stays
const LONGEST_FRAME = 0.1; // seconds; a page that was out of sight does not catch up
const MOST_PICTURES = 16; // between two decisions

class Player {
  // draw(z) is called for every picture, decided(moment) after every decision, ended() when another dream is due.
  constructor(dream, driver, { draw, decided, ended }) {
    Object.assign(this, { dream, driver, draw, decided, ended, speed: 1, paused: false, pictures: 0 });
    this.last = null;
    this.frame = this.frame.bind(this);
    requestAnimationFrame(this.frame);
  }

  // The dream has just begun.
  begin() {
    this.from = this.dream.z;
    this.position = 1; // of the way from one decision to the next
    this.shown = null;
    this.waited = 0;
    this.paint();
  }

  frame(now) {
    requestAnimationFrame(this.frame);
    const passed = Math.min(((now - (this.last ?? now)) / 1000), LONGEST_FRAME);
    this.last = now;
    if (this.paused) return;
    this.position += (passed * this.speed) / this.dream.model.seconds;
    while (this.position >= 1 && !this.dream.over) {
      this.position -= 1;
      this.decide();
    }
    if (this.dream.over && this.position >= 1) {
      this.position = 1;
      this.waited += passed;
      if (this.waited > PAUSE_AT_END) { this.ended(); return; }
    }
    this.paint();
  }

  // One decision at once, for who steps through a paused dream.
  step() {
    if (this.dream.over) { this.ended(); return; }
    this.decide();
    this.position = 1;
    this.paint();
  }

  decide() {
    this.from = this.dream.z;
    const action = this.driver.act(this.dream.chosen, this.dream.model.seconds), byHand = this.driver.drives;
    const { reward, end } = this.dream.step(action);
    this.shown = null;
    this.decided({ action, byHand, reward, end, total: this.dream.total, over: this.dream.over });
  }

  paint() {
    const wanted = Math.round((PICTURES_PER_SECOND * this.dream.model.seconds) / this.speed);
    const count = Math.max(1, Math.min(MOST_PICTURES, wanted)), number = Math.floor(this.position * count);
    if (number === this.shown) return;
    this.shown = number;
    this.pictures += 1;
    const share = number / count, { z } = this.dream;
    this.draw(this.from.map((value, unit) => value + share * (z[unit] - value)));
  }
}
