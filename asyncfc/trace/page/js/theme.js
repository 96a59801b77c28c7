// Colours, as the style sheet has them for the theme in force, and fonts for the canvas.

const COLOURS = [
  "bg", "panel", "ink", "muted", "line", "strong-line", "band", "picked", "accent", "on-bar", "model",
  ...KINDS, ...CAUSES.map((name) => `wait-${name}`), "edge-data", "edge-effect", "edge-gate",
];
const FAMILY = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif';
const FONT = {
  text: `12.5px ${FAMILY}`,
  small: `11px ${FAMILY}`,
  bold: `600 11px ${FAMILY}`,
  bar: `10.5px ${FAMILY}`,
};

class Theme {
  constructor() {
    this.dark = window.matchMedia("(prefers-color-scheme: dark)");
    const kept = memory.get("theme");
    if (kept === "dark" || kept === "light") document.documentElement.dataset.theme = kept;
    /** @type {Object<string, string>} */
    this.colour = {};
    this.hatches = new Map();
    this.read();
  }

  /** Whether it is dark now. */
  get isDark() {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : this.dark.matches;
  }

  toggle() {
    const wanted = this.isDark ? "light" : "dark";
    document.documentElement.dataset.theme = wanted;
    memory.set("theme", wanted);
    this.read();
  }

  /** Ask the style sheet for each colour; a canvas cannot. */
  read() {
    const probe = el("span");
    document.body.append(probe);
    for (const name of COLOURS) {
      probe.style.color = `var(--${name})`;
      this.colour[name] = getComputedStyle(probe).color;
    }
    probe.remove();
    this.hatches.clear();
  }

  /** @param {CanvasRenderingContext2D} pen @param {string} name of a colour @returns {CanvasPattern} stripes */
  hatch(pen, name) {
    if (!this.hatches.has(name)) this.hatches.set(name, stripes(pen, this.colour[name]));
    return this.hatches.get(name);
  }
}

/** @param {CanvasRenderingContext2D} pen @param {string} colour */
function stripes(pen, colour) {
  const fine = 4; // tile pixels per CSS pixel
  const size = 6 * fine;
  const tile = el("canvas");
  tile.width = tile.height = size;
  const brush = tile.getContext("2d");
  brush.strokeStyle = colour;
  brush.lineWidth = 1.5 * fine;
  for (const shift of [-size, 0, size]) {
    brush.beginPath();
    brush.moveTo(shift - fine, size + fine);
    brush.lineTo(shift + size + fine, -fine);
    brush.stroke();
  }
  const pattern = pen.createPattern(tile, "repeat");
  pattern.setTransform(new DOMMatrix().scale(1 / fine));
  return pattern;
}
