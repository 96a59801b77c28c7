// The main drawing: grid, rows, arrows, the column of labels, and the top that stays.

/** @param {App} app */
function draw(app) {
  const pen = fitCanvas(app.canvas, app.width, app.height);
  const shift = app.top - app.scroller.scrollTop;
  const ticks = ticksOf(app.scale);
  pen.textBaseline = "middle";
  pen.fillStyle = app.theme.colour.bg;
  pen.fillRect(0, 0, app.width, app.height);
  const rows = app.layout.packed ? [0, 0] : app.layout.between(-shift + app.top, -shift + app.height);
  if (!app.layout.packed) drawBands(pen, app, rows, shift);
  inPlot(pen, app, () => {
    drawGrid(pen, app, ticks.times);
    app.drawn = app.layout.packed ? drawPacked(pen, app, shift) : drawRows(pen, app, rows, shift);
    drawEdges(pen, app, shift, rows);
    drawCursor(pen, app);
  });
  drawGutter(pen, app, rows, shift);
  drawTop(pen, app, ticks);
  drawCursorTime(pen, app, ticks.step);
  if (app.model.calls.length === 0 && !app.model.hasLane) drawNothing(pen, app);
}

/** Draw in the part right of the labels and below the top only. */
function inPlot(pen, app, paint) {
  pen.save();
  pen.beginPath();
  pen.rect(app.gutter, app.top, app.width - app.gutter, app.height - app.top);
  pen.clip();
  paint();
  pen.restore();
}

function drawGrid(pen, app, times) {
  pen.fillStyle = app.theme.colour.line;
  pen.globalAlpha = 0.6;
  for (const t of times) pen.fillRect(Math.round(app.scale.x(t)), app.top, 1, app.height);
  pen.globalAlpha = 1;
}

/** Behind a row: that it is hovered or selected, and that another message begins with it. */
function drawBands(pen, app, [first, last], shift) {
  const { calls } = app.layout;
  for (let index = first; index < last; index += 1) {
    const call = calls[index];
    const y = index * ROW + shift;
    const hovered = app.hover && app.hover.call === call;
    if (app.picked.call === call.order || hovered) {
      pen.fillStyle = app.theme.colour[app.picked.call === call.order ? "picked" : "band"];
      pen.fillRect(0, y, app.width, ROW);
    }
    if (index && groupOf(call, app) !== groupOf(calls[index - 1], app)) {
      pen.fillStyle = app.theme.colour.line;
      pen.fillRect(0, Math.round(y), app.width, 1);
    }
  }
}

/** @returns {number|null} the message that a call, or what it was made in, belongs to */
function groupOf(call, app) {
  let at = call;
  while (at.message === null && app.model.byOrder.has(at.parent)) at = app.model.byOrder.get(at.parent);
  return at.message;
}

function drawRows(pen, app, [first, last], shift) {
  for (let index = first; index < last; index += 1) {
    const call = app.layout.calls[index];
    pen.globalAlpha = app.isDim(call) ? 0.18 : 1;
    drawRow(pen, app, call, index * ROW + shift);
  }
  pen.globalAlpha = 1;
  return last - first;
}

function drawGutter(pen, app, rows, shift) {
  pen.save();
  pen.beginPath();
  pen.rect(0, app.top, app.gutter, app.height - app.top);
  pen.clip();
  if (app.layout.packed) drawGroups(pen, app, shift);
  else for (let index = rows[0]; index < rows[1]; index += 1) drawLabel(pen, app, index, shift);
  pen.restore();
  pen.fillStyle = app.theme.colour.line;
  pen.fillRect(app.gutter - 1, app.top, 1, app.height - app.top);
}

/** The number of the message, the tool, the handle, and the sign of the outcome. */
function drawLabel(pen, app, index, shift) {
  const call = app.layout.calls[index];
  const { colour } = app.theme;
  const y = index * ROW + shift + ROW / 2;
  const left = app.margin + Math.min(call.depth, 6) * 12;
  const right = app.gutter - 26;
  const previous = app.layout.calls[index - 1];
  pen.globalAlpha = app.isDim(call) ? 0.35 : 1;
  pen.textAlign = "left";
  pen.font = FONT.small;
  const group = groupOf(call, app);
  if (app.model.hasLane && group !== null && (!previous || groupOf(previous, app) !== group)) {
    pen.fillStyle = colour.model;
    pen.fillText(String(group), 12, y);
  }
  pen.fillStyle = colour.muted;
  const name = app.gutter < 170 ? "" : fitText(pen, call.handle || call.id, 84);
  const wide = name ? pen.measureText(name).width : 0;
  pen.fillText(name, right - wide, y);
  if (call.depth) pen.fillRect(left - 8, y - 8, 1, 8), pen.fillRect(left - 8, y, 5, 1);
  pen.font = FONT.text;
  pen.fillStyle = colour.ink;
  pen.fillText(fitText(pen, call.tool, right - wide - left - 8), left, y);
  pen.strokeStyle = colour[call.kind];
  glyph(pen, call.kind, app.gutter - 14, y);
  pen.globalAlpha = 1;
}

/** A line through the moment under the pointer. */
function drawCursor(pen, app) {
  if (!app.hover || app.hover.x < app.scale.left) return;
  pen.globalAlpha = 0.5;
  pen.fillStyle = app.theme.colour.muted;
  pen.fillRect(Math.round(app.hover.x), app.top, 1, app.height);
  pen.globalAlpha = 1;
}

function drawCursorTime(pen, app, step) {
  if (!app.hover || app.hover.x < app.scale.left) return;
  const { scale, theme } = app;
  const text = clock(Math.max(0, app.hover.t), step / 10, unitBy(scale, scale.end));
  pen.font = FONT.small;
  const wide = pen.measureText(text).width + 10;
  const x = Math.min(Math.max(app.hover.x - wide / 2, app.gutter), app.width - wide);
  pen.fillStyle = theme.colour.ink;
  roundBar(pen, x, 4, wide, 18, 4);
  pen.fill();
  pen.fillStyle = theme.colour.bg;
  pen.textAlign = "left";
  pen.fillText(text, x + 5, 13.5);
}

function drawNothing(pen, app) {
  pen.font = FONT.text;
  pen.textAlign = "center";
  pen.fillStyle = app.theme.colour.muted;
  pen.fillText("No call was made.", (app.gutter + app.width) / 2, app.top + 48);
  pen.textAlign = "left";
}
