// What is under a point, and what brings calls into sight.

/**
 * @param {App} app @param {{x: number, y: number}} at in the canvas
 * @returns {{call?: Call|null, message?: Object, pause?: Array}}
 */
function hit(app, { x, y }) {
  const { scale, layout } = app;
  const t = scale.t(x);
  const slack = (3 * scale.span) / (scale.right - scale.left);
  if (y < app.top) return x < app.gutter || y < AXIS ? {} : hitLane(app.model, t, slack);
  const row = y - app.top + app.scroller.scrollTop;
  if (layout.packed) return { call: x < app.gutter ? null : layout.at(row, t, slack) };
  return { call: layout.at(row) };
}

/** @param {Model} model @param {number} t @param {number} slack seconds */
function hitLane(model, t, slack) {
  const message = model.messages.find((one) =>
    one.start !== null && one.start - slack <= t && t <= (one.stop ?? model.end) + slack);
  return message ? { message } : { pause: model.pauses.find(([start, stop]) => start <= t && t <= stop) };
}

/** Scroll to a call, and go to its time. @param {App} app @param {Call} call */
function reveal(app, call) {
  const box = app.layout.box(call.order);
  if (box === null) return;
  const room = Math.max(3 * ROW, app.height - app.top - app.detail.covers);
  const top = app.scroller.scrollTop;
  if (box.y - 12 < top || box.y + 16 > top + room) app.scrollTo(box.y - room / 2);
  revealSpan(app, ...(app.packed ? spanOf(call) : [call.begin, call.stop]));
}

/** Go to a span, if its begin, or too much of it, is out of sight. */
function revealSpan(app, start, stop) {
  const [from, to] = app.motion.target;
  if (from <= start && (stop <= to || start < (from + to) / 2)) return;
  const begin = start - 0.2 * (to - from);
  app.show(begin, begin + to - from);
}

/** Rows come in order of time: while one scrolls through them, keep those in sight in the window. */
function follow(app) {
  const { scale, scroller, layout } = app;
  const [first, last] = layout.between(scroller.scrollTop, scroller.scrollTop + app.height - app.top);
  if (last <= first || scale.whole) return;
  const { begin, stop } = layout.calls[first + Math.floor((last - first) / 4)];
  const [low, high] = [scale.from + 0.08 * scale.span, scale.from + 0.35 * scale.span];
  const moved = stop < low ? begin - low : begin > high ? begin - high : 0;
  if (moved) scale.set(scale.from + moved, scale.to + moved);
}
