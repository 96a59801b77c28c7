// Mouse, wheel and fingers over the main drawing.

const CLICK = 4; // pixels that a click may move

class Pointer {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    /** @type {Map<number, {x: number, y: number}>} */
    this.down = new Map();
    const { canvas, scroller } = app;
    canvas.addEventListener("pointerdown", (event) => this.#press(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#lift(event));
    canvas.addEventListener("pointercancel", (event) => this.#drop(event));
    canvas.addEventListener("pointerleave", () => this.app.hoverAt(null));
    canvas.addEventListener("dblclick", (event) => this.#nearer(event));
    scroller.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
  }

  #place(event) {
    const box = this.app.canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  #press(event) {
    if (event.button !== 0) return;
    const at = this.#place(event);
    this.down.set(event.pointerId, at);
    this.start = { ...at, moved: false, scroll: this.app.scroller.scrollTop };
    this.last = at;
    this.app.canvas.setPointerCapture(event.pointerId);
  }

  #move(event) {
    const at = this.#place(event);
    if (!this.down.has(event.pointerId)) {
      this.app.hoverAt(at, event.clientX, event.clientY);
      return;
    }
    if (this.down.size === 2) this.#pinch(event.pointerId, at);
    else this.#drag(at, event.pointerType);
    this.down.set(event.pointerId, at);
  }

  #drag(at, type) {
    const { scale, scroller } = this.app;
    if (Math.hypot(at.x - this.start.x, at.y - this.start.y) > CLICK) this.start.moved = true;
    if (!this.start.moved) return;
    this.app.hoverAt(null);
    this.app.canvas.style.cursor = "grabbing";
    const moved = scale.t(this.last.x) - scale.t(at.x);
    this.app.show(scale.from + moved, scale.to + moved, false);
    if (type === "mouse") this.app.scrollTo(scroller.scrollTop + this.last.y - at.y);
    this.last = at;
  }

  #pinch(id, at) {
    this.start.moved = true;
    const [other] = [...this.down].filter(([one]) => one !== id).map(([, place]) => place);
    const before = Math.max(20, Math.abs(this.down.get(id).x - other.x));
    const now = Math.max(20, Math.abs(at.x - other.x));
    const middle = this.app.scale.t((at.x + other.x) / 2);
    this.app.show(...this.app.scale.zoomed(middle, before / now), false);
    this.last = at;
  }

  #lift(event) {
    if (!this.down.delete(event.pointerId)) return;
    this.app.canvas.style.cursor = "";
    for (const other of this.down.values()) this.last = other; // a finger that is still there goes on
    if (this.start.moved) return;
    const { call, message } = hit(this.app, this.#place(event));
    if (message) this.app.selectMessage(message.number);
    else this.app.select(call ? call.order : null, false);
    this.app.scroller.focus({ preventScroll: true });
  }

  #drop(event) {
    this.down.delete(event.pointerId);
    this.app.canvas.style.cursor = "";
  }

  #nearer(event) {
    const { call, message } = hit(this.app, this.#place(event));
    if (call) this.app.showSpan(call.begin, call.stop);
    else if (message && message.start !== null) this.app.showSpan(message.start, message.stop ?? this.app.model.end);
    else this.app.fit();
  }

  #wheel(event) {
    const { scale } = this.app;
    const unit = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1;
    const [dx, dy] = [event.deltaX * unit, event.deltaY * unit];
    if (event.ctrlKey || event.metaKey) {
      const factor = Math.exp(Math.max(-240, Math.min(240, dy)) * 0.004);
      this.app.show(...scale.zoomed(scale.t(this.#place(event).x), factor), false);
      event.preventDefault();
      return;
    }
    const sideways = event.shiftKey ? dx || dy : Math.abs(dx) > Math.abs(dy) ? dx : 0;
    if (!sideways) return;
    const moved = (sideways * scale.span) / (scale.right - scale.left);
    this.app.show(scale.from + moved, scale.to + moved, false);
    event.preventDefault();
  }
}
