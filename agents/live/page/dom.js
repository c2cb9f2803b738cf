// Small things that every part of the page uses.

export const $ = (id) => document.getElementById(id);
export const calm = matchMedia("(prefers-reduced-motion: reduce)");

// Colour a slider's track up to its thumb.
export const fill = (input) => input.style.setProperty("--at", `${(100 * (input.value - input.min)) / (input.max - input.min)}%`);

export function say(id, text) {
  $(id).hidden = !text;
  $(id).textContent = text || "";
}

let hush;
export function note(text) {
  say("note", text);
  clearTimeout(hush);
  hush = setTimeout(() => say("note", ""), 6000);
}

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

export function download(name, blob) {
  const anchor = make("a", { href: URL.createObjectURL(blob), download: name });
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), 60_000);
  note(`${name} is in your downloads.`);
}
