// The page's state in its address, so that it can be shared and survives a reload: #dream&tau=1.15&agent=pretrained/carracing

const NUMBERS = ["tau", "speed", "horizon"];

// Anybody may have typed it: what cannot be decoded, e.g. #100%, is taken as it stands.
export function read() {
  const pairs = [...new URLSearchParams(location.hash.slice(1))], values = { scene: pairs[0]?.[0] ?? "" };
  for (const [key, value] of pairs) {
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
