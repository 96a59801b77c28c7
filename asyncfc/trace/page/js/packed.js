// All calls at once, in the lanes of their tools. Only the work is drawn; of the call in focus, its waits too.

/** @param {CanvasRenderingContext2D} pen @param {App} app @param {number} shift from a lane's top to the canvas */
function drawPacked(pen, app, shift) {
  const { layout, scale } = app;
  let drawn = 0;
  for (const group of layout.groups) {
    if (group.top + group.height + shift < 0 || group.top + shift > app.height) continue;
    group.lanes.forEach((lane, index) => {
      const top = group.top + index * layout.lane + shift;
      if (top + layout.lane < 0 || top > app.height) return;
      for (let at = firstAfter(lane, scale.from); at < lane.length; at += 1) {
        if (spanOf(lane[at])[0] > scale.to) break;
        drawPackedBar(pen, app, lane[at], top);
        drawn += 1;
      }
    });
  }
  pen.globalAlpha = 1;
  for (const order of app.focus()) drawPackedFocus(pen, app, order, shift);
  return drawn;
}

function drawPackedBar(pen, app, call, top) {
  const { layout, theme } = app;
  const [start, stop] = spanOf(call);
  const [x1, x2] = app.visible(start, stop);
  const thick = layout.lane > 6 ? layout.lane - 2 : layout.lane - 1;
  const width = Math.max(1.5, x2 - x1 - (x2 - x1 > 4 ? 1 : 0));
  pen.globalAlpha = app.isDim(call) ? 0.16 : 1;
  pen.fillStyle = theme.colour[call.kind];
  const y = top + (layout.lane - thick) / 2;
  pen.fillRect(x1, y, width, thick);
  if (app.critical && call.critical && layout.lane >= 6 && width >= 5) {
    pen.strokeStyle = theme.colour.ink;
    pen.lineWidth = 1.5;
    pen.strokeRect(x1 + 0.25, y + 0.25, Math.max(1, width - 0.5), thick - 0.5);
  }
  if (layout.lane >= 14 && width > 22 && call.kind !== "value") {
    pen.strokeStyle = theme.colour["on-bar"];
    glyph(pen, call.kind, x1 + 9, y + thick / 2, 3.4);
  }
}

function drawPackedFocus(pen, app, order, shift) {
  const box = app.layout.box(order);
  const call = app.model.byOrder.get(order);
  if (box === null || call === undefined) return;
  const y = box.y + shift;
  for (const wait of call.waits) {
    const [x1, x2] = app.visible(wait.start, wait.stop);
    pen.fillStyle = app.theme.colour[`wait-${wait.cause}`];
    if (x2 > x1) pen.fillRect(x1, y - box.half, x2 - x1, box.half * 2);
  }
  const [x1, x2] = app.visible(...spanOf(call));
  pen.fillStyle = app.theme.colour[call.kind];
  pen.fillRect(x1, y - box.half, Math.max(2, x2 - x1), box.half * 2);
  outline(pen, app.theme.colour.ink, x1, y - box.half, Math.max(2, x2 - x1), box.half * 2);
}

/** @param {CanvasRenderingContext2D} pen the names of the tools, which stay while their lanes are in sight */
function drawGroups(pen, app, shift) {
  const { layout, theme, top } = app;
  const room = app.gutter - 24;
  for (const group of layout.groups) {
    const from = group.top + shift;
    if (from + group.height < top || from > app.height) continue;
    const y = Math.min(Math.max(from, top + 4), from + group.height - 14) + 9;
    pen.textAlign = "left";
    pen.font = FONT.small;
    const count = `×${group.count.toLocaleString("en")}`;
    const wide = pen.measureText(count).width;
    pen.fillStyle = theme.colour.muted;
    pen.fillText(count, app.gutter - 12 - wide, y);
    pen.font = FONT.text;
    pen.fillStyle = theme.colour.ink;
    pen.fillText(fitText(pen, group.tool, room - wide - 6), 14, y);
    pen.fillStyle = theme.colour.line;
    pen.fillRect(0, Math.round(from + group.height + GROUP_GAP / 2), app.width, 1);
  }
}
