// Arrows from older calls to those that waited for them: data solid, success dotted, order of effects dashed.

const DASHES = { data: [], gate: [1.5, 3], effect: [5, 3] };
const FEW_ROWS = 60;
const FAR = 300; // pixels outside of the canvas at which an arrow is cut, since dashes there cost time

/** @param {CanvasRenderingContext2D} pen @param {App} app @param {number} shift @param {[number, number]} rows */
function drawEdges(pen, app, shift, rows) {
  const focus = app.focus();
  if (!app.layout.packed && rows[1] - rows[0] <= FEW_ROWS) drawFaint(pen, app, shift, rows, focus.length > 0);
  if (app.critical) drawCriticalEdges(pen, app, shift, focus.length > 0);
  for (const order of focus) drawChain(pen, app, shift, order);
  pen.globalAlpha = 1;
  pen.setLineDash([]);
}

function drawFaint(pen, app, shift, rows, focused) {
  for (let index = rows[0]; index < rows[1]; index += 1) {
    const call = app.layout.calls[index];
    if (app.isDim(call)) continue;
    for (const edge of call.edges) {
      drawEdge(pen, app, shift, edge.of, call.order, edge.kind, { alpha: focused ? 0.16 : 0.38, width: 1 });
    }
  }
}

function drawCriticalEdges(pen, app, shift, focused) {
  const path = app.model.critical;
  const style = { alpha: focused ? 0.35 : 0.85, width: 1.6, colour: app.theme.colour.ink };
  const least = app.layout.packed ? 6 / (app.scale.right - app.scale.left) * app.scale.span : 0;
  for (let index = 1; index < path.length; index += 1) {
    if (app.model.byOrder.get(path[index]).seconds < least) continue; // it could not be told which bar is meant
    const edge = app.model.byOrder.get(path[index]).edges.find((one) => one.of === path[index - 1]);
    drawEdge(pen, app, shift, path[index - 1], path[index], edge ? edge.kind : "data", style);
  }
}

/** What led to a call, its own edges strongest, and what needs it. */
function drawChain(pen, app, shift, order) {
  for (const edge of app.ancestry(order)) {
    const own = edge.to === order;
    drawEdge(pen, app, shift, edge.from, edge.to, edge.kind, { alpha: own ? 1 : 0.6, width: own ? 2 : 1.4 });
  }
  for (const edge of (app.model.dependants.get(order) || []).slice(0, 200)) {
    drawEdge(pen, app, shift, order, edge.of, edge.kind, { alpha: 1, width: 2 });
  }
}

/** @param {CanvasRenderingContext2D} pen @param {{alpha: number, width: number, colour?: string}} style */
function drawEdge(pen, app, shift, from, to, kind, style) {
  const [older, newer] = [app.model.byOrder.get(from), app.model.byOrder.get(to)];
  const [start, stop] = [app.layout.box(from), app.layout.box(to)];
  if (!older || !newer || start === null || stop === null) return;
  const [y1, y2] = [start.y + shift, stop.y + shift];
  if (Math.max(y1, y2) < app.top - 10 || Math.min(y1, y2) > app.height + 10) return;
  const x1 = app.scale.x(endOf(older, kind));
  const x2 = app.scale.x(arrival(older, newer, kind));
  const { left, right } = app.scale;
  if (Math.max(x1, x2) < left - 20 || Math.min(x1, x2) > right + 20) return;
  pen.globalAlpha = style.alpha;
  pen.strokeStyle = pen.fillStyle = style.colour || app.theme.colour[`edge-${kind}`];
  pen.lineWidth = style.width;
  pen.setLineDash(DASHES[kind]);
  const y = (value) => Math.min(Math.max(value, -FAR), app.height + FAR);
  const x = (value) => Math.min(Math.max(value, left - FAR), right + FAR);
  arrow(pen, x(x1), y(y1), x(x2), y(y2), stop.half + 2);
}

/** @param {Call} call @param {string} kind @returns {number} when it lets go what waits for it */
function endOf(call, kind) {
  return kind === "effect" ? call.times.released ?? call.stop : call.stop;
}

/**
 * When an edge holds its newer call no longer: where the arrow points to. That is its start if it waited
 * for nothing else.
 */
function arrival(older, newer, kind) {
  return Math.min(Math.max(endOf(older, kind), newer.begin), newer.times.started ?? newer.stop);
}
