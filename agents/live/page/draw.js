// Pictures and curves on canvases.

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export function paint(canvas, bitmap) {
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
  }
  canvas.classList.toggle("crisp", bitmap.width <= 128);
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

export class Curve {
  // `least` is the smallest range that is shown; `colour` a custom property of the style sheet.
  constructor(canvas, least, colour) {
    Object.assign(this, { canvas, least, colour, points: [] });
  }

  add(x, y) {
    const last = this.points.at(-1);
    if (last && x <= last[0]) this.points = [];
    if (y === null || y === undefined) return;
    this.points.push([x, y]);
    this.stale = true;
  }

  clear() { this.points = []; this.stale = true; }

  draw() {
    if (!this.canvas.clientWidth) return;
    this.stale = false;
    const { pen, width, height } = sharp(this.canvas);
    const values = this.points.map(([, y]) => y);
    let low = Math.min(this.least[0], ...values), high = Math.max(this.least[1], ...values);
    const across = (x, first, last) => 1 + ((x - first) / Math.max(last - first, 40)) * (width - 6);
    const down = (y) => height - 3 - ((y - low) / (high - low)) * (height - 8);
    pen.strokeStyle = style("--line");
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(0, down(Math.max(low, 0)) + .5);
    pen.lineTo(width, down(Math.max(low, 0)) + .5);
    pen.stroke();
    if (this.points.length < 2) return;
    const first = this.points[0][0], last = this.points.at(-1)[0], colour = style(this.colour);
    pen.beginPath();
    for (const [x, y] of this.points) pen.lineTo(across(x, first, last), down(y));
    pen.strokeStyle = colour;
    pen.lineWidth = 1.75;
    pen.lineJoin = "round";
    pen.stroke();
    pen.lineTo(across(last, first, last), down(Math.max(low, 0)));
    pen.lineTo(across(first, first, last), down(Math.max(low, 0)));
    pen.globalAlpha = .12;
    pen.fillStyle = colour;
    pen.fill();
    pen.globalAlpha = 1;
    pen.beginPath();
    pen.arc(across(last, first, last), down(values.at(-1)), 3, 0, 7);
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
