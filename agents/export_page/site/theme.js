// Before anything is drawn: dark or light, as last chosen here, else as the system has it. A page opened as a file may
// be denied its storage; it then forgets.

"use strict";

const remembered = {
  get: () => { try { return localStorage.getItem("theme"); } catch { return null; } },
  set: (theme) => { try { localStorage.setItem("theme", theme); } catch { /* forgotten with the page */ } },
};
document.documentElement.dataset.theme =
  remembered.get() ?? (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark");
