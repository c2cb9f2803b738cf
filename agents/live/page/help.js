// The help that `?` opens: what every key does, and what the words mean.

import { $, make } from "./dom.js";

const WORDS = [
  ["V", "the eye: a variational autoencoder that squeezes a picture into a few numbers, z, and paints pictures from such numbers"],
  ["M", "the memory: a recurrent network that foretells the next z, as a mixture of guesses"],
  ["C", "the driver: a small controller that sees z and M's memory and chooses the action"],
  ["surprise", "how unlikely M held what then came"],
  ["temperature τ", "how wild dreams are: at 0 always the likeliest, above 1 more chance than M learnt"],
];

export function help(rows) {
  const keys = make("dl", {}, ...rows.flatMap(([key, text]) =>
    [make("dt", {}, ...key.split(" ").map((one) => make("kbd", { textContent: one }))), make("dd", { textContent: text })]));
  const words = make("dl", { className: "words" }, ...WORDS.flatMap(([word, text]) => [make("dt", { textContent: word }), make("dd", { textContent: text })]));
  const close = make("button", { className: "text", textContent: "Close", autofocus: true });
  close.addEventListener("click", () => $("keys").close());
  $("keys").replaceChildren(make("h2", { id: "keys-name" }, "Keys", close), keys, make("h2", { textContent: "Words" }), words);
}

export function toggleHelp() { if ($("keys").open) $("keys").close(); else $("keys").showModal(); }
