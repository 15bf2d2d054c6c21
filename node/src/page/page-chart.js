// The last minute of one number.

/** What is shown, ms. */
const SPAN = 60_000;

/** Points that are kept: at a thousand a second, the last four seconds of them. */
const MAX_POINTS = 4096;

export class Chart {
  address = null;
  #canvas;
  #points = [];

  constructor(canvas) {
    this.#canvas = canvas;
  }

  choose(address) {
    if (address !== this.address) this.#points = [];
    this.address = address;
  }

  add(address, value) {
    if (address !== this.address || !Number.isFinite(value)) return;
    this.#points.push([performance.now(), value]);
    if (this.#points.length > 2 * MAX_POINTS) this.#points.splice(0, MAX_POINTS);
  }

  /** What a person who does not see it is told. */
  note() {
    const now = performance.now();
    const shown = this.#points.filter(([at]) => at > now - SPAN).map(([, value]) => value);
    if (!shown.length) return "no number in the last minute";
    const least = shown.reduce((a, b) => Math.min(a, b));
    const most = shown.reduce((a, b) => Math.max(a, b));
    return `now ${text(shown.at(-1))}, in the last minute from ${text(least)} to ${text(most)}`;
  }

  draw() {
    const canvas = this.#canvas;
    const scale = devicePixelRatio;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (canvas.width !== width * scale || canvas.height !== height * scale) {
      [canvas.width, canvas.height] = [width * scale, height * scale];
    }
    const style = getComputedStyle(canvas);
    const color = (name) => style.getPropertyValue(name) && resolved(canvas, name);
    const now = performance.now();
    const first = this.#points.findIndex(([at]) => at > now - SPAN);
    const points = first < 0 ? [] : this.#points.slice(first);
    const pen = canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    let [low, high] = points.reduce(([low, high], [, value]) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
    if (!points.length) return;
    if (low === high) [low, high] = [low - 1, high + 1];
    const [left, bottom, top] = [56, height - 20, 8];
    const x = (at) => left + (width - left) * (1 - (now - at) / SPAN);
    const y = (value) => bottom - ((value - low) / (high - low)) * (bottom - top);
    pen.font = `12px ${style.fontFamily}`;
    pen.fillStyle = color("--quiet");
    pen.strokeStyle = color("--line");
    pen.textAlign = "right";
    pen.beginPath();
    for (const value of [low, (low + high) / 2, high]) {
      pen.moveTo(left, y(value));
      pen.lineTo(width, y(value));
      pen.fillText(text(value), left - 6, y(value) + 4);
    }
    pen.stroke();
    pen.textAlign = "left";
    pen.fillText("60 s ago", left, height - 4);
    pen.textAlign = "right";
    pen.fillText("now", width - 2, height - 4);
    pen.strokeStyle = color("--accent");
    pen.lineWidth = 1.5;
    pen.beginPath();
    points.forEach(([at, value], n) => (n ? pen.lineTo(x(at), y(value)) : pen.moveTo(x(at), y(value))));
    pen.stroke();
  }
}

const text = (value) => String(Number(value.toPrecision(4)));

/** A colour as it is now, light or dark: a canvas does not know of variables. */
function resolved(canvas, name) {
  canvas.style.color = `var(${name})`;
  const color = getComputedStyle(canvas).color;
  canvas.style.color = "";
  return color;
}
