// The wake-up game: say when reality has turned into a dream; then the truth is shown.

import { $, say } from "./dom.js";
import { SCENES } from "./scenes.js";

export class Game {
  constructor(link) { Object.assign(this, { link, won: [] }); }

  // Another game, or another scene.
  reset() {
    document.body.classList.remove("told");
    say("verdict", "");
  }

  guess() { this.link.send("guess"); }

  told({ scene, phase, ...moment }) {
    if (scene !== "game") return;
    const told = phase === "told";
    if (!told) document.body.classList.remove("told");
    else if (moment.twins) document.body.classList.add("told"); // too early, there is no dream to show yet
    $("guess").disabled = told;
    $("main-caption").textContent = told ? "reality" : SCENES.game.caption;
    if (told && $("verdict").hidden) say("verdict", `${this.verdict(moment)} Restart for another round.`);
    else if (!told) say("verdict", "");
  }

  verdict({ switch: began, guess, seconds_each: seconds }) {
    const after = (steps) => `${(Math.abs(steps) * seconds).toFixed(1)} s`;
    if (guess === null) return `You never woke: the dream began after ${after(began)}.`;
    if (guess < began) return `Too early: it was still real, the dream would have begun ${after(began - guess)} later.`;
    this.won.push((guess - began) * seconds);
    const best = Math.min(...this.won);
    return `You noticed ${after(guess - began)} after the dream began${this.won.length > 1 ? `; your best is ${best.toFixed(1)} s` : ""}.`;
  }
}
