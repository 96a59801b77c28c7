// Elements. Text comes in as text nodes only, never as markup.

/** @param {string} id @returns {any} the element, of whichever kind */
function byId(id) {
  return document.getElementById(id);
}

/**
 * @param {string} tag
 * @param {string} [className]
 * @param {...(string|Node)} children a string becomes a text node
 * @returns {any} the element, of whichever kind
 */
function el(tag, className = "", ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

/** @param {string} className @param {(string|Node)[]} children @param {() => void} action */
function button(className, children, action) {
  const node = el("button", className, ...children);
  node.type = "button";
  node.addEventListener("click", action);
  return node;
}

/**
 * Make a canvas as large as its place, in device pixels.
 * @param {HTMLCanvasElement} canvas @param {number} width @param {number} height in CSS pixels
 * @returns {CanvasRenderingContext2D} that draws in CSS pixels
 */
function fitCanvas(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  return pen;
}

/** What the browser remembers for this page; a page from a file may not be allowed to. */
const memory = {
  /** @param {string} key @returns {string|null} */
  get(key) {
    try {
      return window.localStorage.getItem(`asyncfc.${key}`);
    } catch {
      return null;
    }
  },
  /** @param {string} key @param {string} value */
  set(key, value) {
    try {
      window.localStorage.setItem(`asyncfc.${key}`, value);
    } catch {
      // then it is forgotten
    }
  },
};
