// What is under the pointer, in words.

class Tooltip {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.node = byId("tip");
  }

  /** @param {{call?: Call, message?: Object, pause?: Array, x: number, t: number}|null} hover */
  show(hover, x, y) {
    const lines = hover ? this.#lines(hover) : null;
    this.node.hidden = lines === null;
    if (lines === null) return;
    this.node.replaceChildren(...lines);
    const { width, height } = this.node.getBoundingClientRect();
    const left = x + 16 + width > window.innerWidth ? x - 16 - width : x + 16;
    const top = y + 18 + height > window.innerHeight ? y - 12 - height : y + 18;
    this.node.style.left = `${Math.max(6, left)}px`;
    this.node.style.top = `${Math.max(6, top)}px`;
  }

  /** @param {{call?: Call, message?: Object, pause?: Array, x: number, t: number}} hover */
  #lines({ call, message, pause, x, t }) {
    if (call) return this.#ofCall(call, x < this.app.gutter ? `${call.why}.` : stateAt(call, t, this.app.model));
    if (message) return this.#ofMessage(message);
    if (pause) return this.#ofPause(pause);
    return null;
  }

  /** @param {Call} call @param {string} state */
  #ofCall(call, state) {
    const head = el("div", "who", `${call.tool} `, el("span", "name", call.name));
    const lines = [head, el("div", "", state)];
    const waited = call.waits.reduce((sum, wait) => sum + wait.stop - wait.start, 0);
    const sums = [];
    if (waited > 0) sums.push(`waited ${duration(waited)}`);
    if (call.run) sums.push(`ran ${duration(call.seconds)}`);
    lines.push(el("div", "at", sign(call.kind), [...sums, OUTCOMES[call.kind].word].join(", ")));
    return lines;
  }

  #ofMessage(message) {
    const length = (message.stop ?? this.app.model.end) - message.start;
    const notes = [duration(length), counted(message.calls.length, "call")];
    if (message.extra) notes.push("only because outcomes were unseen");
    if (!message.ok) notes.push("the request failed");
    return [el("div", "who", `Message ${message.number}`), el("div", "at", notes.join(", "))];
  }

  #ofPause([start, stop, orders]) {
    const names = orders.slice(0, 4).map((order) => named(this.app.model.byOrder.get(order)));
    if (orders.length > 4) names.push(`${orders.length - 4} more`);
    const of = names.length ? ` of ${names.join(", ")}` : "";
    return [el("div", "", `The model waits ${duration(stop - start)} for outcomes${of}.`)];
  }
}
