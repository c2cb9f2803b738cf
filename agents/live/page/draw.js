// Pictures and curves on canvases.

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export function paint(canvas, bitmap) {
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
  }
  canvas.classList.toggle("small", bitmap.width <= 128);
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
}

// A canvas with as many pixels as the screen shows of it.
export function sharp(canvas) {
  const ratio = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

export function clear(canvas) {
  const pen = canvas.getContext("2d");
  pen.resetTransform();
  pen.clearRect(0, 0, canvas.width, canvas.height);
}

const short = (value) => (Math.abs(value) >= 100 ? value.toFixed(0) : Number(value.toPrecision(2)).toString());

export class Curve {
  // `least` is the smallest range that is shown; `colour` a custom property of the style sheet.
  constructor(canvas, least, colour) {
    Object.assign(this, { canvas, least, colour, points: [] });
  }

  // A point; `marked` ones lie on a band: there a person drove.
  add(x, y, marked = false) {
    const last = this.points.at(-1);
    if (last && x <= last[0]) this.points = [];
    if (y === null || y === undefined) return;
    this.points.push([x, y, marked]);
    this.stale = true;
  }

  clear() { this.points = []; this.stale = true; }

  draw() {
    if (!this.canvas.clientWidth) return;
    this.stale = false;
    const { pen, width, height } = sharp(this.canvas), points = this.points;
    const values = points.map(([, y]) => y), margin = 34;
    const low = Math.min(this.least[0], ...values), high = Math.max(this.least[1], ...values);
    const first = points[0]?.[0] ?? 0, last = points.at(-1)?.[0] ?? 0;
    const across = (x) => margin + ((x - first) / Math.max(last - first, 40)) * (width - margin - 5);
    const down = (y) => height - 5 - ((y - low) / (high - low)) * (height - 11), ground = down(Math.max(low, 0));
    pen.strokeStyle = style("--line");
    pen.lineWidth = 1;
    pen.beginPath();
    for (const y of new Set([ground, down(low), down(high)])) { pen.moveTo(margin, y + .5); pen.lineTo(width, y + .5); }
    pen.stroke();
    pen.fillStyle = style("--faint");
    pen.font = "10px system-ui, sans-serif";
    pen.textAlign = "right";
    for (const value of [low, high]) pen.fillText(short(value), margin - 5, down(value) + 4);
    pen.fillStyle = style("--warm");
    points.forEach(([x, , marked], index) => {
      if (!marked) return;
      const next = points[index + 1]?.[0] ?? x + 1;
      pen.globalAlpha = .2;
      pen.fillRect(across(x), 0, Math.max(across(next) - across(x), 1), height);
      pen.globalAlpha = 1;
      pen.fillRect(across(x), height - 2, Math.max(across(next) - across(x), 1), 2);
    });
    if (points.length < 2) return;
    pen.beginPath();
    for (const [x, y] of points) pen.lineTo(across(x), down(y));
    pen.strokeStyle = pen.fillStyle = style(this.colour);
    pen.lineWidth = 1.75;
    pen.lineJoin = "round";
    pen.stroke();
    pen.lineTo(across(last), ground);
    pen.lineTo(across(first), ground);
    pen.globalAlpha = .12;
    pen.fill();
    pen.globalAlpha = 1;
    pen.beginPath();
    pen.arc(across(last), down(values.at(-1)), 3, 0, 7);
    pen.fill();
  }
}

export function latentBars(canvas, z, chosen) {
  const { pen, width, height } = sharp(canvas);
  const step = width / z.length, middle = height / 2, reach = height / 2 - 10;
  pen.fillStyle = style("--line");
  pen.fillRect(0, middle - .5, width, 1);
  z.forEach((value, unit) => {
    const tip = middle - (Math.max(-4, Math.min(4, value)) / 4) * reach;
    const gap = Math.min(3, step * .2);
    if (unit === chosen) { pen.fillStyle = style("--line"); pen.fillRect(unit * step, 0, step, height); }
    pen.fillStyle = style(value >= 0 ? "--accent" : "--warm");
    pen.fillRect(unit * step + gap, Math.min(tip, middle), step - 2 * gap, Math.max(Math.abs(tip - middle), 1));
    pen.fillRect(unit * step + gap, tip - 1.5, step - 2 * gap, 3);
  });
}
