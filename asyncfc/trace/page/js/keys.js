// The keyboard, and the list of its keys.

const KEYS = [
  [["↑", "↓"], "previous, next call"], [["+", "−"], "nearer, farther"],
  [["←"], "what it waited for longest"], [["[", "]"], "earlier, later"],
  [["→"], "what needs it"], [["0", "f"], "the whole run"],
  [["/"], "search"], [["v"], "the rows in sight"],
  [["Enter"], "next match; with Shift the previous"], [["p"], "packed: lanes per tool"],
  [["c"], "critical path"], [["t"], "dark or light"],
  [["?"], "this list"], [["Esc"], "close, clear"],
];
const POINTING = [
  [["Wheel"], "scroll"], [["Ctrl", "Wheel"], "zoom"], [["Shift", "Wheel"], "earlier, later"],
  [["Drag"], "move"], [["Click"], "details"], [["Double click"], "zoom to it"],
];

class Keys {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.dialog = byId("keys");
    this.actions = this.#actions();
    document.addEventListener("keydown", (event) => this.#key(event));
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) this.dialog.close();
    });
  }

  #actions() {
    const { app } = this;
    const change = (factor, share) => { // of where the window goes: keys may come faster than it gets there
      const [from, to] = app.motion.target;
      const middle = (from + to) / 2 + share * (to - from);
      app.show(middle - (factor * (to - from)) / 2, middle + (factor * (to - from)) / 2);
    };
    const zoom = (factor) => change(factor, 0);
    const pan = (share) => change(1, share);
    return {
      ArrowUp: () => app.step(-1), ArrowDown: () => app.step(1),
      ArrowLeft: () => toCause(app), ArrowRight: () => toDependant(app),
      "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1 / 0.6),
      "[": () => pan(-0.3), "]": () => pan(0.3),
      0: () => app.fit(), f: () => app.fit(), v: () => app.fitRows(),
      c: () => app.setCritical(!app.critical), p: () => app.setPacked(!app.packed),
      t: () => app.toggleTheme(), "/": () => app.search.field.focus(), "?": () => this.toggle(),
      Escape: () => this.#escape(),
    };
  }

  #key(event) {
    const typing = event.target instanceof HTMLInputElement;
    if (typing || event.ctrlKey || event.metaKey || event.altKey || this.dialog.open) {
      if (this.dialog.open && event.key === "?") this.dialog.close();
      return;
    }
    const action = Object.hasOwn(this.actions, event.key) ? this.actions[event.key] : null;
    if (action === null) return;
    action();
    event.preventDefault();
  }

  #escape() {
    if (this.app.picked.call !== null || this.app.picked.message !== null) this.app.select(null);
    else this.app.search.set("");
  }

  toggle() {
    if (this.dialog.open) {
      this.dialog.close();
      return;
    }
    if (!this.dialog.childElementCount) this.#fill();
    this.dialog.showModal();
  }

  #fill() {
    const close = button("close", ["✕"], () => this.dialog.close());
    close.setAttribute("aria-label", "Close");
    this.dialog.append(close, el("h2", "", "Keys"), listOf(KEYS), el("h3", "", "Mouse and fingers"), listOf(POINTING),
      el("h3", "", "Signs"), signs(this.app));
  }
}

/** Select what the selected call waited for longest. @param {App} app */
function toCause(app) {
  const call = app.model.byOrder.get(app.picked.call);
  if (!call) return;
  const wait = longestWait(call);
  const older = wait ? wait.of : call.edges.length ? call.edges[0].of : null;
  if (app.model.byOrder.has(older)) app.select(older);
}

/** Select the first call that needs the selected one. @param {App} app */
function toDependant(app) {
  const [first] = app.model.dependants.get(app.picked.call) || [];
  if (first) app.select(first.of);
}

function listOf(rows) {
  const list = el("dl");
  for (const [keys, what] of rows) {
    list.append(el("dt", "", ...keys.map((key) => el("kbd", "", key))), el("dd", "", what));
  }
  return list;
}
