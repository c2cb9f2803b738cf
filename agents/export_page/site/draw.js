// Pictures and curves on canvases.

"use strict";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Numbers in [0, 1], [height, width, channels] with one or three channels, as a picture.
function show(canvas, numbers, { height, width, channels }) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const image = new ImageData(width, height), { data } = image; // bytes are rounded and kept in range by their type
  for (let pixel = 0, from = 0, to = 0; pixel < width * height; pixel++, from += channels, to += 4) {
    data[to] = 255 * numbers[from];
    data[to + 1] = 255 * numbers[from + (channels > 1 ? 1 : 0)];
    data[to + 2] = 255 * numbers[from + (channels > 1 ? 2 : 0)];
    data[to + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// A canvas with as many pixels as the screen shows of it.
function sharp(canvas) {
  const ratio = devicePixelRatio || 1, { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

const CURVE_STEPS = 150; // decisions that a curve shows

// A number over time, with its range written beside it; the stretches that somebody drove are in the colour of driving.
class Curve {
  constructor(canvas, name, least, digits) {
    Object.assign(this, { canvas, name, least, digits, points: [] });
  }

  add(value, byHand) {
    this.points.push({ value, byHand });
    if (this.points.length > CURVE_STEPS) this.points.shift();
    this.stale = true;
  }

  clear() { this.points = []; this.stale = true; }

  draw() {
    if (!this.canvas.clientWidth) return;
    this.stale = false;
    const { pen, width, height } = sharp(this.canvas), values = this.points.map(({ value }) => value);
    const low = Math.min(this.least[0], ...values), high = Math.max(this.least[1], ...values);
    const text = (value) => value.toFixed(this.digits).replace("-", "−");
    this.canvas.setAttribute("aria-label", `${this.name}, between ${text(low)} and ${text(high)}`);
    pen.font = `11px ${getComputedStyle(document.body).fontFamily}`;
    pen.fillStyle = colour("--soft");
    pen.textAlign = "right";
    const margin = 6 + Math.max(pen.measureText(text(low)).width, pen.measureText(text(high)).width);
    pen.fillText(text(high), width, 10);
    pen.fillText(text(low), width, height - 2);
    const right = width - margin - 4, across = (index) => 1 + (index / CURVE_STEPS) * (right - 2);
    const down = (value) => height - 3 - ((value - low) / (high - low)) * (height - 8);
    pen.fillStyle = colour("--line");
    pen.fillRect(0, Math.round(down(Math.max(low, 0))), right, 1);
    pen.lineWidth = 1.75;
    pen.lineJoin = "round";
    for (let index = 1; index < this.points.length; index++) {
      pen.strokeStyle = colour(this.points[index].byHand ? "--warm" : "--accent");
      pen.beginPath();
      pen.moveTo(across(index - 1), down(values[index - 1]));
      while (index + 1 < this.points.length && this.points[index + 1].byHand === this.points[index].byHand)
        pen.lineTo(across(index), down(values[index++]));
      pen.lineTo(across(index), down(values[index]));
      pen.stroke();
    }
  }
}
