// The page's state in its address, so that it can be shared and survives a reload: #dream&tau=1.15&agent=pretrained/carracing

const NUMBERS = ["tau", "speed", "horizon"];

export function read() {
  const [scene, ...pairs] = location.hash.slice(1).split("&"), values = { scene: decodeURIComponent(scene) };
  for (const pair of pairs) {
    const [key, value = ""] = pair.split("=").map(decodeURIComponent);
    if (NUMBERS.includes(key) && Number.isFinite(Number(value))) values[key] = Number(value);
    if (key === "agent" || key === "start") values[key] = value;
  }
  return values;
}

// Values that are undefined are left out.
export function write({ scene, ...values }) {
  const pairs = Object.entries(values).filter(([, value]) => value !== undefined);
  const text = [scene, ...pairs.map(([key, value]) => `${key}=${encodeURIComponent(value).replaceAll("%2F", "/")}`)].join("&");
  if (location.hash.slice(1) !== text) history.replaceState(null, "", `#${text}`);
}
