// The page's address says which dream it shows, #seed=7&tau=1.15&start=3, or which picture, #view=latents&z=0.5,-1.2.
// A dream that began at a picture has both seed and z.

"use strict";

const shortened = (z) => Float32Array.from(z, (value) => Number(value.toFixed(2))); // as far as an address tells it

// What the address asks for; anything that makes no sense is as if it were not there.
function readAddress(model) {
  const asked = new URLSearchParams(location.hash.slice(1));
  const whole = (name, end) => {
    const text = asked.get(name);
    return text !== null && /^\d+$/.test(text) && Number(text) < end ? Number(text) : null;
  };
  const tau = Number.parseFloat(asked.get("tau")), z = (asked.get("z") ?? "").split(",").map(Number);
  const view = asked.get("view");
  return {
    view: ["dream", "latents", "how"].includes(view) ? view : "dream",
    seed: whole("seed", MOST_SEEDS),
    start: model.starts ? whole("start", model.starts.count) : null,
    tau: tau >= 0 && tau <= 3 ? tau : null,
    z: z.length === model.latents && z.every((value) => Math.abs(value) <= 9) ? shortened(z) : null,
  };
}

function writeAddress({ view, seed, tau, start, z }) {
  const said = {};
  if (view !== "dream") said.view = view;
  if (view !== "latents") Object.assign(said, { seed, tau });
  if (z) said.z = [...z].map((value) => Number(value.toFixed(2))).join(",");
  else if (view !== "latents" && start !== null) said.start = start;
  const text = Object.entries(said).map(([name, value]) => `${name}=${value}`).join("&");
  if (location.hash.slice(1) !== text) history.replaceState(null, "", `#${text}`);
}
