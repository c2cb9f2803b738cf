// Recorded episodes: a list to sort and filter; one is played, deleted, exported.

import { $, make, note } from "./dom.js";

const FILTERS = { "least-return": "total", "least-steps": "steps", "least-surprise": "surprise" };
const text = (value, digits) => (value === null ? "–" : value.toFixed(digits));

export class Episodes {
  constructor(link, begun) {
    Object.assign(this, { link, begun, rows: [], all: 0, chosen: null });
    for (const id of [...Object.keys(FILTERS), "episode-sort"]) $(id).addEventListener("input", () => this.draw());
    $("episode-measure").addEventListener("click", () => { note("Measuring the surprise of some more episodes…"); link.send("episode_measure"); });
    $("episode-mp4").addEventListener("click", () => this.export("mp4"));
    $("episode-gif").addEventListener("click", () => this.export("gif"));
    $("episode-delete").addEventListener("click", () => this.delete());
  }

  ask() { this.link.send("episodes"); }

  reset() { this.choose(null); }

  choose(one) {
    this.chosen = one;
    this.draw();
  }

  receive({ episodes, all }) {
    Object.assign(this, { rows: episodes, all });
    if (!this.find(this.chosen)) this.chosen = null;
    this.draw();
    const first = this.shown()[0];
    if (!this.chosen && first && $("shelf").getClientRects().length) this.play(first);
  }

  find(one) { return one && this.rows.find(({ store, seed }) => store === one.store && seed === one.seed); }

  shown() {
    const [key, way] = $("episode-sort").value.split(" "), sign = way === "down" ? -1 : 1;
    const least = Object.entries(FILTERS).map(([id, column]) => [column, $(id).value === "" ? null : Number($(id).value)]);
    return this.rows
      .filter((row) => least.every(([column, limit]) => limit === null || (row[column] !== null && row[column] >= limit)))
      .sort((a, b) => sign * ((a[key] ?? -Infinity) - (b[key] ?? -Infinity)));
  }

  draw() {
    const shown = this.shown(), chosen = this.find(this.chosen);
    $("episode-count").textContent = this.all ? `${shown.length} of ${this.all}` : "";
    $("no-episodes").hidden = this.all > 0;
    $("episode-rows").replaceChildren(...shown.map((row) => {
      const play = make("button", { className: "text", textContent: row.store === "driven" ? "you" : row.policy, title: `Play episode ${row.seed}` });
      play.addEventListener("click", () => { play.blur(); this.play(row); });
      const cell = (value) => make("td", { textContent: value });
      const line = make("tr", {}, make("td", {}, play), cell(text(row.total, 0)), cell(row.steps), cell(text(row.surprise, 2)));
      if (row === chosen) line.setAttribute("aria-current", "true");
      return line;
    }));
    for (const id of ["episode-mp4", "episode-gif"]) $(id).disabled = !chosen;
    $("episode-delete").disabled = chosen?.store !== "driven";
  }

  play({ store, seed }) {
    this.link.send("episode_play", { store, seed });
    this.begun();
    this.choose({ store, seed });
  }

  export(format) {
    note(`Writing the whole episode as ${format}; a long one takes a while…`);
    this.link.send("episode_export", { ...this.chosen, format });
  }

  delete() {
    if (!confirm(`Delete episode ${this.chosen.seed} for good?`)) return;
    this.link.send("episode_delete", { seed: this.chosen.seed });
    this.choose(null); // there is nothing to delete twice
  }
}
