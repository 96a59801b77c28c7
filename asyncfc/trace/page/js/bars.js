// One call in a row of its own: what it waited for, its work, and what came after.

/**
 * @param {CanvasRenderingContext2D} pen @param {App} app @param {Call} call
 * @param {number} top of its row
 */
function drawRow(pen, app, call, top) {
  const { scale, theme } = app;
  const middle = top + 11.5;
  drawWaits(pen, app, call, middle);
  drawTail(pen, app, call, middle);
  if (call.run) drawWork(pen, app, call, middle);
  drawEnd(pen, app, call, middle);
  drawMarks(pen, app, call, top + 22);
  if (call.last < scale.from || call.begin > scale.to) drawElsewhere(pen, app, call, middle);
  pen.fillStyle = theme.colour.ink;
}

function drawWaits(pen, app, call, middle) {
  for (const wait of call.waits) {
    const [x1, x2] = app.visible(wait.start, wait.stop);
    if (x2 - x1 < 0.5) continue;
    pen.fillStyle = app.theme.colour[`wait-${wait.cause}`];
    roundBar(pen, x1, middle - 3.5, Math.max(1, x2 - x1 - 0.5), 7, 2);
    pen.fill();
  }
}

/** A thin line: from its outcome until nothing waits for it any more, and the model has seen it. */
function drawTail(pen, app, call, middle) {
  const { settled, ended, released, delivered, seen } = call.times;
  if (settled === undefined) return;
  const until = Math.max(settled, released ?? settled, delivered ?? settled, seen ?? settled);
  const [x1, x2] = app.visible(settled, until);
  pen.fillStyle = app.theme.colour["strong-line"];
  if (x2 > x1) pen.fillRect(x1, middle - 0.5, x2 - x1, 1);
  if (ended === undefined || ended <= settled) return;
  const [from, to] = app.visible(settled, ended);
  pen.fillStyle = app.theme.hatch(pen, call.kind);
  roundBar(pen, from, middle - 6, Math.max(1, to - from), 12, 2);
  pen.fill();
}

function drawWork(pen, app, call, middle) {
  const { colour } = app.theme;
  const [x1, x2] = app.visible(call.run[0], call.run[1]);
  if (x2 < x1) return;
  const width = Math.max(2, x2 - x1);
  pen.fillStyle = colour[call.kind];
  roundBar(pen, x1, middle - 7, width, 14, 3);
  pen.fill();
  if (call.times.settled === undefined && width > 12) {
    pen.fillStyle = colour.bg; // still open at the end
    for (const dx of [3, 7, 11]) pen.fillRect(x2 - dx, middle - 7, 1.5, 14);
  }
  if (app.critical && call.critical) outline(pen, colour.ink, x1, middle - 7, width, 14);
  const text = duration(call.seconds);
  pen.font = FONT.bar;
  if (width > pen.measureText(text).width + 12) {
    pen.fillStyle = colour["on-bar"];
    pen.textAlign = "left";
    pen.fillText(text, x1 + 6, middle + 0.5);
  }
}

/** @param {CanvasRenderingContext2D} pen a line around a bar, a little apart from it */
function outline(pen, colour, x, y, width, height) {
  pen.strokeStyle = colour;
  pen.lineWidth = 1.5;
  roundBar(pen, x - 1.75, y - 1.75, width + 3.5, height + 3.5, 4.5);
  pen.stroke();
}

/** The sign of what became of it, but for values: that is what is expected. */
function drawEnd(pen, app, call, middle) {
  if (call.kind === "value" || call.times.settled === undefined) return;
  const x = app.scale.x(Math.max(call.times.settled, call.times.ended ?? 0)) + 9;
  if (x < app.scale.left - 10 || x > app.scale.right + 10) return;
  pen.fillStyle = app.theme.colour.bg;
  pen.beginPath();
  pen.arc(x, middle, 6.5, 0, 2 * Math.PI);
  pen.fill();
  pen.strokeStyle = app.theme.colour[call.kind];
  glyph(pen, call.kind, x, middle);
}

function drawMarks(pen, app, call, y) {
  pen.fillStyle = pen.strokeStyle = app.theme.colour.muted;
  pen.lineWidth = 1.1;
  for (const name of Object.keys(MARKS)) {
    const t = call.times[name];
    if (t === undefined || t < app.scale.from || t > app.scale.to) continue;
    MARKS[name](pen, app.scale.x(t), y);
  }
}

/** It is earlier or later than the window: an arrow at the edge says so. */
function drawElsewhere(pen, app, call, middle) {
  const { left, right } = app.scale;
  const earlier = call.last < app.scale.from;
  const x = earlier ? left + 8 : right - 8;
  const side = earlier ? -1 : 1;
  pen.strokeStyle = app.theme.colour.muted;
  pen.lineWidth = 1.4;
  pen.beginPath();
  pen.moveTo(x - side * 2, middle - 4);
  pen.lineTo(x + side * 2, middle);
  pen.lineTo(x - side * 2, middle + 4);
  pen.stroke();
}
