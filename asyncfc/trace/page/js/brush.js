// The brush over the strip: shows the window, is dragged to move it, at its edges to resize it.

class Brush {
  /** @param {App} app @param {Overview} overview */
  constructor(app, overview) {
    this.app = app;
    this.overview = overview;
    this.node = byId("brush");
    this.track = byId("track");
    overview.place.addEventListener("pointerdown", (event) => this.#begin(event));
    overview.place.addEventListener("dblclick", () => app.fit());
  }

  /** Put it where the window is. */
  show() {
    const { scale } = this.app;
    const { y, height, most } = this.overview.row;
    const low = this.overview.x(Math.max(0, scale.from), most);
    const high = this.overview.x(Math.min(scale.end, scale.to), most);
    const room = 10; // for the handles, at both ends
    const { left } = this.overview;
    Object.assign(this.track.style, px({ left: left - room, top: y - 4, height: height + 8,
      width: this.overview.x(scale.end, most) - left + 2 * room }));
    Object.assign(this.node.style, px({ left: low - left + room - 1, width: Math.max(6, high - low + 2) }));
  }

  #begin(event) {
    if (event.button !== 0) return;
    const { scale } = this.app;
    const t = this.#time(event);
    const edge = event.target.classList.contains("from") ? "from" : event.target.classList.contains("to") ? "to" : "";
    if (!edge && event.target !== this.node) {
      if (event.clientX < this.overview.left) return;
      this.app.show(t - scale.span / 2, t + scale.span / 2, false);
    }
    this.drag = { edge, t, from: scale.from, to: scale.to };
    this.overview.place.setPointerCapture(event.pointerId);
    const move = (moved) => this.#move(moved);
    this.overview.place.addEventListener("pointermove", move);
    const end = () => this.overview.place.removeEventListener("pointermove", move);
    this.overview.place.addEventListener("pointerup", end, { once: true });
    this.overview.place.addEventListener("pointercancel", end, { once: true });
    event.preventDefault();
  }

  #move(event) {
    const { edge, t, from, to } = this.drag;
    const moved = this.#time(event) - t;
    const least = this.app.scale.end * 1e-5;
    if (edge === "from") this.app.show(Math.min(from + moved, to - least), to, false);
    else if (edge === "to") this.app.show(from, Math.max(to + moved, from + least), false);
    else this.app.show(from + moved, to + moved, false);
  }

  #time(event) {
    return this.overview.t(event.clientX - this.overview.place.getBoundingClientRect().left);
  }
}

/** @param {Object<string, number>} numbers @returns {Object<string, string>} in pixels, for a style */
function px(numbers) {
  return Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, `${value}px`]));
}
