// Begin, and let tests and the console look inside.

const app = new App(JSON.parse(byId("data").textContent));
app.start();

/** For tests and for the console. */
window.asyncfcTimeline = Object.freeze({
  ready: true,
  get visible() { return [app.scale.from, app.scale.to]; },
  get selection() { return app.picked.call; },
  get message() { return app.picked.message; },
  get drawn() { return app.drawn; },
  get packed() { return app.packed; },
  get critical() { return app.critical; },
  get matches() { return app.matches === null ? null : app.matches.size; },
  get dark() { return app.theme.isDark; },
  /** Where a call's bar begins and ends, in pixels of the window. */
  place(order) {
    const call = app.model.byOrder.get(order);
    const box = app.layout.box(order);
    if (!call || box === null) return null;
    const canvas = app.canvas.getBoundingClientRect();
    const [start, stop] = spanOf(call);
    const y = canvas.top + app.top - app.scroller.scrollTop + box.y;
    return { from: canvas.left + app.scale.x(start), to: canvas.left + app.scale.x(stop), y };
  },
  select: (order) => app.select(order),
  show: (from, to) => app.show(from, to, false),
  fit: () => app.fit(),
  pack: (packed) => app.setPacked(packed),
  search: (words) => app.search.set(words),
});
