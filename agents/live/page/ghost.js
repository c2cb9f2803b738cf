// The agent's car as a ghost on one's own picture, where the world can say where it would be.

import { $ } from "./dom.js";
import { clear } from "./draw.js";

const WIDTH = .04, LENGTH = .1; // of a car, in widths and heights of the picture

export function drawGhost({ scene, ghost }) {
  if (scene !== "ghost") return;
  const main = $("main"), over = $("overlay"), pen = over.getContext("2d");
  if (!ghost) { clear(over); return; }
  const [x, y, turned] = ghost, width = WIDTH * main.width, length = LENGTH * main.height;
  over.width = main.width;
  over.height = main.height;
  pen.translate(x * main.width, y * main.height);
  pen.rotate(turned);
  pen.globalAlpha = .55;
  pen.fillStyle = "#ffffff";
  pen.strokeStyle = "#1b2a4a";
  pen.lineWidth = 2;
  pen.beginPath();
  pen.roundRect(-width / 2, -length / 2, width, length, width / 3);
  pen.fill();
  pen.stroke();
  pen.beginPath(); // a windscreen, so that one sees where it points
  pen.roundRect(-width / 3, -length / 4, (2 * width) / 3, length / 6, 2);
  pen.fillStyle = "#1b2a4a";
  pen.fill();
}
