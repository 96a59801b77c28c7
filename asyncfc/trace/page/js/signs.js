// The list of the signs in the drawing, drawn as they are there.

const WAITED_FOR = {
  message: "its message to be complete", data: "the value of a call", gate: "the success of a call",
  effect: "the end of a call, by effects", limit: "a slot", start: "somebody to ask for it",
};
const MARKED = {
  answered: "its message was answered", delivered: "its outcome was delivered", seen: "the model has seen it",
};
const DRAWN = { data: "uses the value", gate: "needs the success", effect: "ordered by effects" };

/** @param {App} app @returns {HTMLElement} */
function signs(app) {
  const { theme } = app;
  const grid = el("div", "signs");
  const add = (text, paint) => {
    const canvas = el("canvas");
    const pen = fitCanvas(canvas, 40, 18);
    pen.fillStyle = pen.strokeStyle = theme.colour.muted;
    paint(pen, theme.colour);
    grid.append(canvas, el("span", "", text));
  };
  add("the tool runs", (pen, colour) => signBar(pen, colour.value, 14));
  add("on the critical path", (pen, colour) => {
    signBar(pen, colour.value, 10);
    outline(pen, colour.ink, 3, 4, 34, 10);
  });
  for (const [name, text] of Object.entries(WAITED_FOR)) {
    add(`waits for ${text}`, (pen, colour) => signBar(pen, colour[`wait-${name}`], 7));
  }
  for (const kind of KINDS) {
    add(OUTCOMES[kind].word, (pen, colour) => {
      pen.strokeStyle = colour[kind];
      glyph(pen, kind, 20, 9);
    });
  }
  for (const [name, text] of Object.entries(MARKED)) add(text, (pen) => MARKS[name](pen, 20, 9));
  addEdges(add);
  addMessages(add, theme);
  return grid;
}

function addEdges(add) {
  for (const [kind, text] of Object.entries(DRAWN)) {
    add(text, (pen, colour) => {
      pen.strokeStyle = pen.fillStyle = colour[`edge-${kind}`];
      pen.lineWidth = 1.5;
      pen.setLineDash(DASHES[kind]);
      arrow(pen, 2, 9, 38, 9, 0);
    });
  }
}

function addMessages(add, theme) {
  add("a message of the model", (pen, colour) => signBar(pen, colour.model, 14));
  add("one only because outcomes were unseen", (pen, colour) => {
    signBar(pen, theme.hatch(pen, "model"), 14);
    pen.strokeStyle = colour.model;
    pen.stroke();
  });
  add("a request that failed", (pen, colour) => {
    signBar(pen, colour.failure, 14);
    pen.strokeStyle = colour["on-bar"];
    glyph(pen, "failure", 20, 9, 3.5);
  });
  add("the model waits for outcomes", (pen) => {
    pen.fillStyle = theme.hatch(pen, "strong-line");
    pen.fillRect(3, 5, 34, 8);
  });
}

/** @param {CanvasRenderingContext2D} pen @param {string|CanvasPattern} fill @param {number} height */
function signBar(pen, fill, height) {
  pen.fillStyle = fill;
  roundBar(pen, 3, 9 - height / 2, 34, height, 3);
  pen.fill();
}
