// What every exported page has: short words, notes, dark or light, an address to copy.

"use strict";

const $ = (id) => document.getElementById(id);

const grouped = (count) => count.toLocaleString("en");

// Put words and numbers where the page has a place for them.
function say(words) {
  for (const [name, word] of Object.entries(words))
    for (const place of document.querySelectorAll(`[data-say="${name}"]`)) place.textContent = word;
}

let hush;
function note(text) {
  $("note").textContent = text;
  clearTimeout(hush);
  hush = setTimeout(() => { $("note").textContent = ""; }, 5000);
}

function switchTheme() {
  const root = document.documentElement;
  root.dataset.theme = root.dataset.theme === "light" ? "dark" : "light";
  remembered.set(root.dataset.theme);
}

// A page opened as a file may be denied the clipboard.
async function copyAddress() {
  try {
    await navigator.clipboard.writeText(location.href);
    note("The address of what you see is copied.");
  } catch { note("Copy the address at the top of your browser: it is the address of what you see."); }
}

// The part of a slider's track before its thumb.
function fill(input) {
  input.style.setProperty("--at", `${(100 * (input.value - input.min)) / (input.max - input.min)}%`);
}

// A random seed, short enough to be told on the telephone.
const anySeed = () => Math.floor(Math.random() * 100_000);
