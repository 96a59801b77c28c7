// What stays at the top: the axis, and the lane of the model with its messages and pauses.

const AXIS = 26;
const LANE = 34;

/** @param {CanvasRenderingContext2D} pen @param {App} app */
function drawTop(pen, app, ticks) {
  const { colour } = app.theme;
  pen.fillStyle = colour.bg;
  pen.fillRect(0, 0, app.width, app.top);
  drawAxis(pen, app, ticks);
  if (app.model.hasLane) drawLane(pen, app);
  pen.fillStyle = colour["strong-line"];
  pen.fillRect(0, app.top - 1, app.width, 1);
}

function drawAxis(pen, app, { step, times }) {
  const { scale, theme } = app;
  const most = Math.max(scale.end, 0);
  pen.font = FONT.small;
  pen.textAlign = "left";
  for (const t of times) {
    const x = scale.x(t);
    if (x < scale.left - 1) continue;
    pen.fillStyle = theme.colour.line;
    pen.fillRect(Math.round(x), 6, 1, app.top - 7);
    pen.fillStyle = theme.colour.muted;
    pen.fillText(clock(t, step, unitBy(scale, most)), Math.round(x) + 5, AXIS / 2 + 1);
  }
}

/** The unit follows what is in sight, but for clock times, which follow the run. */
function unitBy(scale, most) {
  return most >= 60 ? most : Math.min(most, Math.max(scale.to, 1e-9));
}

function drawLane(pen, app) {
  const { theme, gutter, model } = app;
  const middle = AXIS + LANE / 2 - 2;
  pen.save();
  pen.beginPath();
  pen.rect(gutter, 0, app.width - gutter, app.top);
  pen.clip();
  for (const [start, stop] of model.pauses) {
    const [x1, x2] = app.visible(start, stop);
    if (x2 <= x1) continue;
    pen.fillStyle = theme.hatch(pen, "strong-line");
    pen.fillRect(x1, middle - 4, x2 - x1, 8);
  }
  for (const message of model.messages) {
    drawMessage(pen, app, message, middle);
    drawGaps(pen, app, message, middle);
  }
  pen.restore();
  pen.font = FONT.text;
  pen.textAlign = "left";
  pen.fillStyle = theme.colour.ink;
  pen.fillText("model", 14, middle + 0.5);
  pen.fillStyle = theme.colour.line;
  pen.fillRect(gutter - 1, AXIS, 1, LANE);
}

/** Where, in the middle of a message, the model waited for an outcome and wrote nothing. */
function drawGaps(pen, app, message, middle) {
  for (const [start, stop] of message.pauses) {
    const [x1, x2] = app.visible(start, stop);
    if (x2 <= x1) continue;
    pen.fillStyle = app.theme.colour.bg;
    pen.fillRect(x1, middle - 9, x2 - x1, 18);
    pen.fillStyle = app.theme.hatch(pen, "strong-line");
    pen.fillRect(x1, middle - 4, x2 - x1, 8);
  }
}

function drawMessage(pen, app, message, middle) {
  if (message.start === null) return;
  const { colour } = app.theme;
  const [x1, x2] = app.visible(message.start, message.stop ?? app.model.end);
  if (x2 < x1) return;
  const width = Math.max(1.5, x2 - x1 - (x2 - x1 > 3 ? 1 : 0));
  const name = message.ok ? "model" : "failure";
  roundBar(pen, x1, middle - 9, width, 18, 3);
  if (message.extra) {
    pen.fillStyle = colour.bg;
    pen.fill();
    pen.fillStyle = app.theme.hatch(pen, name);
    pen.fill();
    pen.strokeStyle = colour[name];
    pen.lineWidth = 1.2;
    if (width > 4) pen.stroke();
  } else {
    pen.fillStyle = colour[name];
    pen.fill();
  }
  if (app.picked.message === message.number) outline(pen, colour.ink, x1, middle - 9, width, 18);
  drawNumber(pen, app, message, x1, width, middle);
}

function drawNumber(pen, app, message, x, width, middle) {
  const { colour } = app.theme;
  const text = String(message.number);
  if (!message.ok) {
    pen.strokeStyle = colour["on-bar"];
    if (width > 10) glyph(pen, "failure", x + width / 2, middle, 3.5);
    return;
  }
  pen.font = FONT.bold;
  const room = pen.measureText(text).width;
  if (width < room + 6) return;
  pen.textAlign = "center";
  if (message.extra) {
    pen.fillStyle = colour.bg;
    roundBar(pen, x + width / 2 - room / 2 - 4, middle - 7, room + 8, 14, 3);
    pen.fill();
  }
  pen.fillStyle = message.extra ? colour.ink : colour["on-bar"];
  pen.fillText(text, x + width / 2, middle + 0.5);
  pen.textAlign = "left";
}
