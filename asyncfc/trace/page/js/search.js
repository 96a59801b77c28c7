// The search: what matches stays bright, and Enter goes from match to match.

class Search {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.field = byId("search");
    this.count = byId("found");
    this.field.addEventListener("input", () => this.#changed());
    this.field.addEventListener("keydown", (event) => this.#key(event));
  }

  /** @param {string} words */
  set(words) {
    this.field.value = words;
    this.#changed();
  }

  #changed() {
    this.app.matches = this.app.model.search(this.field.value);
    this.#count();
    this.app.redraw();
  }

  #found() {
    return this.app.matches === null ? [] : this.app.shown.filter((call) => this.app.matches.has(call.order));
  }

  #count() {
    const found = this.#found();
    const at = found.findIndex((call) => call.order === this.app.picked.call);
    const place = at < 0 ? "" : `${at + 1} of `;
    this.count.textContent = this.app.matches === null ? "" : found.length ? place + found.length : "none";
  }

  /** @param {number} step 1 or -1 */
  jump(step) {
    const found = this.#found();
    if (!found.length) return;
    const at = found.findIndex((call) => call.order === this.app.picked.call);
    const next = at < 0 ? (step > 0 ? 0 : found.length - 1) : (at + step + found.length) % found.length;
    this.app.select(found[next].order);
    this.#count();
  }

  #key(event) {
    if (event.key === "Enter") this.jump(event.shiftKey ? -1 : 1);
    else if (event.key === "Escape") {
      this.set("");
      this.app.scroller.focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
