// The report without it: a page of charts over steps. With it: the theme, the axis, values under the pointer, films.
const root = document.documentElement;
root.classList.add("js");
const dark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark")) === "dark";
document.getElementById("theme").addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; });

for (const button of document.querySelectorAll("[data-over]"))
  button.addEventListener("click", () => {
    document.body.dataset.axis = button.dataset.over;
    for (const other of document.querySelectorAll("[data-over]"))
      other.setAttribute("aria-pressed", String(other.dataset.over === button.dataset.over));
  });

const short = value => {
  const size = Math.abs(value);
  if (size >= 1e6) return +(value / 1e6).toPrecision(4) + "M";
  if (size >= 1e4) return +(value / 1e3).toPrecision(4) + "k";
  return String(+value.toPrecision(4));
};

for (const svg of document.querySelectorAll("svg[data-chart]")) {
  const chart = JSON.parse(svg.dataset.chart), box = svg.parentElement, view = svg.viewBox.baseVal;
  const [low, high, start, end] = chart.x;
  const cursor = document.createElementNS(svg.namespaceURI, "line");
  cursor.setAttribute("class", "cursor");
  let tip = null;
  const leave = () => { cursor.remove(); tip?.remove(); tip = null; };
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("pointermove", event => {
    const seen = svg.getBoundingClientRect();
    const x = (event.clientX - seen.left) / seen.width * view.width;
    if (x < start - 8 || x > end + 8) return leave();
    const wanted = low + (x - start) / (end - start) * (high - low);
    tip ??= box.appendChild(Object.assign(document.createElement("div"), { className: "tip" }));
    tip.replaceChildren();
    let place = x, first = true;
    for (const [name, colour, xs, ys] of chart.lines) {
      let at = 0;
      for (let i = 1; i < xs.length; i++) if (Math.abs(xs[i] - wanted) < Math.abs(xs[at] - wanted)) at = i;
      if (first) {
        place = start + (xs[at] - low) / ((high - low) || 1) * (end - start);
        tip.append(`at ${short(xs[at])}`);
        first = false;
      }
      const row = document.createElement("div"), key = document.createElement("i");
      key.className = `key c${colour % 8}`;
      row.append(key, `${name} ${short(ys[at])}`);
      tip.append(row);
    }
    for (const [key, value] of Object.entries({ x1: place, x2: place, y1: 12, y2: view.height - 40 })) cursor.setAttribute(key, value);
    svg.append(cursor);
    const left = place / view.width * seen.width + svg.offsetLeft;
    tip.style.left = left > seen.width / 2 ? `${left - tip.offsetWidth - 12}px` : `${left + 12}px`;
  });
}

for (const table of document.querySelectorAll("table.sortable"))
  table.querySelectorAll("th button").forEach((button, column) => button.addEventListener("click", () => {
    const head = button.parentElement, down = head.getAttribute("aria-sort") === "ascending";
    table.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = row => {
      const text = row.cells[column].textContent.replaceAll(",", "").replace("−", "-"), number = parseFloat(text);
      return Number.isNaN(number) ? text : number;
    };
    const body = table.tBodies[0];
    const order = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
    body.append(...[...body.rows].sort((a, b) => (down ? -1 : 1) * order(value(a), value(b))));
  }));

for (const film of document.querySelectorAll(".film")) {
  const screens = [...film.querySelectorAll("canvas")], slider = film.querySelector("input"), play = film.querySelector(".play");
  const sheet = new Image();
  let timer = null;
  const draw = () => {
    film.querySelector("output").textContent = slider.value;
    screens.forEach((screen, row) => screen.getContext("2d").drawImage(
      sheet, slider.value * screen.width, row * screen.height, screen.width, screen.height, 0, 0, screen.width, screen.height));
  };
  const stop = () => { clearInterval(timer); timer = null; play.textContent = "Play"; };
  const start = () => {
    play.textContent = "Pause";
    timer = setInterval(() => { slider.value = (+slider.value + 1) % (+slider.max + 1); draw(); }, 1000 / film.dataset.rate);
  };
  play.addEventListener("click", () => timer ? stop() : start());
  slider.addEventListener("input", () => { stop(); draw(); });
  sheet.addEventListener("load", draw);
  sheet.src = film.dataset.sheet;
}
