// The pane at the side: all that is known about the selected call or message.

const TIMES = {
  sealed: "registered", committed: "message complete", withdrawn: "withdrawn", queued: "waits for a slot",
  started: "started", settled: "outcome known", ended: "work ended", released: "nothing waits for it",
  answered: "answered", delivered: "outcome delivered", seen: "seen by the model",
};

class Detail {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.node = byId("detail");
  }

  /** How much of the drawing it hides, in pixels: where there is little room it lies over it. */
  get covers() {
    const over = !this.node.hidden && getComputedStyle(this.node).position === "absolute";
    return over ? this.node.offsetHeight : 0;
  }

  /** Show what is selected, or nothing. */
  show() {
    const { call, message } = this.app.picked;
    this.node.hidden = call === null && message === null;
    if (call !== null) this.node.replaceChildren(...this.#ofCall(this.app.model.byOrder.get(call)));
    else if (message !== null) this.node.replaceChildren(...this.#ofMessage(message));
    else this.node.replaceChildren();
    this.node.scrollTop = 0;
  }

  #head(title, name) {
    const close = button("close", ["✕"], () => this.app.select(null));
    close.setAttribute("aria-label", "Close");
    const heading = el("h2", "", title);
    if (name) heading.append(" ", el("span", "name", name));
    return el("div", "top", heading, close);
  }

  #ofCall(call) {
    const outcome = el("span", "outcome", sign(call.kind), OUTCOMES[call.kind].word);
    const state = el("div", "state", outcome);
    if (call.level) state.append(call.level);
    if (call.message !== null) state.append(this.#messageLink(call.message));
    if (this.app.model.byOrder.has(call.parent)) state.append(el("span", "", "made by ", this.#link(call.parent)));
    return [
      this.#head(call.tool, call.name),
      state,
      el("p", "", `${call.why}.`),
      ...this.#waits(call),
      ...this.#texts(call),
      ...this.#times(call),
      ...this.#others("Uses", call.edges),
      ...this.#others("Needed by", this.app.model.dependants.get(call.order) || []),
    ];
  }

  #waits(call) {
    const waits = call.waits.filter((wait) => wait.stop > wait.start);
    if (!waits.length) return [];
    const rows = waits.map((wait) => {
      const what = el("span", "", el("span", `swatch ${wait.cause}`), WAITS[wait.cause]);
      if (this.app.model.byOrder.has(wait.of)) what.append(" ", this.#link(wait.of));
      if (wait.why) what.append(` (${wait.why})`);
      return el("li", "", what, el("span", "n", duration(wait.stop - wait.start)));
    });
    return [el("h3", "", "Waited for"), el("ul", "", ...rows)];
  }

  #texts(call) {
    const written = pretty(call.written);
    const got = pretty(call.arguments);
    const parts = [];
    if (written) parts.push(el("h3", "", "Arguments, as written"), el("pre", "", written));
    if (got && got !== written) parts.push(el("h3", "", "Arguments, as the tool got them"), el("pre", "", got));
    if (call.outcome) {
      const title = { value: "Result", failure: `Error${call.outcome.error ? `: ${call.outcome.error}` : ""}` };
      parts.push(el("h3", "", title[call.kind] || "Reason"));
      parts.push(el("pre", call.kind, pretty(call.outcome.text) || "(empty)"));
    }
    return parts;
  }

  #times(call) {
    const known = Object.entries(call.times).sort((a, b) => a[1] - b[1]);
    if (!known.length) return [];
    const first = known[0][1];
    const { end } = this.app.scale;
    const step = Math.min(0.01, 10 ** Math.floor(Math.log10(end / 1000)));
    const rows = known.map(([name, t]) => el("tr", "",
      el("td", "", TIMES[name]),
      el("td", "n soft", t > first ? `+${duration(t - first)}` : ""),
      el("td", "n", clock(t, step, end))));
    return [el("h3", "", "Times: since it was registered, and in the run"), el("table", "", ...rows)];
  }

  #others(title, edges) {
    if (!edges.length) return [];
    const rows = edges.slice(0, 100).map((edge) => el("li", "", this.#link(edge.of),
      el("span", "n", edge.kind === "effect" ? edge.why : edge.kind === "gate" ? "success" : "value")));
    if (edges.length > 100) rows.push(el("li", "n", `${edges.length - 100} more`));
    return [el("h3", "", title), el("ul", "", ...rows)];
  }

  #link(order) {
    return button("link", [named(this.app.model.byOrder.get(order))], () => this.app.select(order));
  }

  #messageLink(number) {
    const at = this.app.model.messages.find((one) => one.number === number);
    if (!at) return el("span", "", `message ${number}`);
    return button("link", [`message ${number}`], () => this.app.selectMessage(at.number));
  }

  #ofMessage(number) {
    const message = this.app.model.messages.find((one) => one.number === number);
    const parts = [this.#head(`Message ${number}`, "")];
    if (message.start !== null) {
      const stop = message.stop ?? this.app.model.end;
      parts.push(el("p", "", `Took ${duration(stop - message.start)}, from ${duration(message.start)} on.`));
    }
    if (message.extra) parts.push(el("p", "", "The model was asked only because outcomes were unseen."));
    if (!message.ok) parts.push(el("p", "", "The request failed."));
    const rows = message.calls.map((order) => el("li", "", this.#link(order),
      el("span", "n", OUTCOMES[this.app.model.byOrder.get(order).kind].word)));
    parts.push(el("h3", "", rows.length ? "Calls" : "No calls"), el("ul", "", ...rows));
    return parts;
  }
}

const WAITS = {
  message: "its message", data: "the value of", gate: "the success of", effect: "the end of", limit: "a slot",
  start: "somebody to ask for it",
};
