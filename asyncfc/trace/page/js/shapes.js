// What bars, marks and arrows are made of.

/** @param {CanvasRenderingContext2D} pen */
function roundBar(pen, x, y, width, height, radius) {
  const r = Math.min(radius, width / 2, height / 2);
  pen.beginPath();
  pen.roundRect(x, y, width, height, r);
}

/** The signs of outcomes, so that they are never told by colour alone: paths around 0,0, from -1 to 1. */
const SIGNS = {
  value: "M-1 .1 L-.25 .8 L1 -.8",
  failure: "M-.85 -.85 L.85 .85 M.85 -.85 L-.85 .85",
  cancelled: "M-1 0 A1 1 0 1 1 1 0 A1 1 0 1 1 -1 0 M-.7 .7 L.7 -.7",
  withheld: "M-.5 -1 V1 M.5 -1 V1",
  open: "M-.85 0 A.85 .85 0 1 1 .85 0 A.85 .85 0 1 1 -.85 0",
};
const SIGN_PATHS = Object.fromEntries(Object.entries(SIGNS).map(([kind, path]) => [kind, new Path2D(path)]));

/** @param {CanvasRenderingContext2D} pen @param {string} kind @param {number} x @param {number} y its middle */
function glyph(pen, kind, x, y, size = 4) {
  pen.save();
  pen.translate(x, y);
  pen.scale(size, size);
  pen.lineWidth = 1.6 / size;
  pen.lineCap = pen.lineJoin = "round";
  pen.stroke(SIGN_PATHS[kind]);
  pen.restore();
}

/** @param {string} kind @returns {Element} the same sign among text, in its colour */
function sign(kind) {
  const namespace = byId("signs").namespaceURI;
  const box = document.createElementNS(namespace, "svg");
  const path = document.createElementNS(namespace, "path");
  box.setAttribute("viewBox", "-1.25 -1.25 2.5 2.5");
  box.setAttribute("class", `glyph ${kind}`);
  box.setAttribute("aria-hidden", "true");
  path.setAttribute("d", SIGNS[kind]);
  box.append(path);
  return box;
}

/** Small marks under a bar: a handle or value was answered, the outcome delivered, the outcome seen. */
const MARKS = {
  answered(pen, x, y) {
    pen.beginPath();
    pen.arc(x, y, 2.1, 0, 2 * Math.PI);
    pen.stroke();
  },
  delivered(pen, x, y) {
    pen.beginPath();
    pen.moveTo(x - 2.8, y + 2.4);
    pen.lineTo(x + 2.8, y + 2.4);
    pen.lineTo(x, y - 2.4);
    pen.fill();
  },
  seen(pen, x, y) {
    pen.beginPath();
    pen.arc(x, y, 2.5, 0, 2 * Math.PI);
    pen.fill();
  },
};

/**
 * An arrow from the end of one bar, along its row, and then up or down onto another bar.
 * @param {CanvasRenderingContext2D} pen @param {number} half of the heights of the bars
 */
function arrow(pen, x1, y1, x2, y2, half) {
  const side = Math.sign(y2 - y1);
  if (side === 0) {
    pointer(pen, [[x1, y1], [x2, y2]], 1, 0);
    return;
  }
  const tip = y2 - side * half;
  pointer(pen, x2 - x1 > 1 ? [[x1, y1], [x2, y1], [x2, tip]] : [[x2, y1 + side * half], [x2, tip]], 0, side);
}

/** A line through points, its corners round, with a head in the direction of dx, dy. */
function pointer(pen, points, dx, dy) {
  const [x, y] = points[points.length - 1];
  pen.beginPath();
  pen.moveTo(...points[0]);
  if (points.length === 3) {
    const [corner] = points.slice(1);
    pen.arcTo(corner[0], corner[1], x, y, Math.min(5, corner[0] - points[0][0], Math.abs(y - corner[1])));
  }
  pen.lineTo(x - dx * 4, y - dy * 4);
  pen.stroke();
  pen.beginPath();
  pen.moveTo(x, y);
  pen.lineTo(x - dx * 6 - dy * 3.2, y - dy * 6 - dx * 3.2);
  pen.lineTo(x - dx * 6 + dy * 3.2, y - dy * 6 + dx * 3.2);
  pen.fill();
}

const fitted = new Map();

/** @param {CanvasRenderingContext2D} pen @returns {string} as much of a text as there is room for */
function fitText(pen, text, room) {
  if (room < 8) return "";
  const key = `${pen.font}|${Math.round(room)}|${text}`;
  if (fitted.has(key)) return fitted.get(key);
  const short = shortened(pen, text.length > 200 ? text.slice(0, 200) : text, room);
  if (fitted.size > 5000) fitted.clear();
  fitted.set(key, short);
  return short;
}

function shortened(pen, text, room) {
  if (pen.measureText(text).width <= room) return text;
  let [low, high] = [0, text.length];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (pen.measureText(`${text.slice(0, middle)}…`).width <= room) low = middle;
    else high = middle - 1;
  }
  return low ? `${text.slice(0, low)}…` : "";
}
