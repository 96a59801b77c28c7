// The state of the page, what changes it, and when it is drawn.

const PACK_FROM = 500; // calls: so many are seen at once only in lanes

class App {
  /** @param {Object} data */
  constructor(data) {
    this.model = new Model(data);
    this.scale = new Scale(this.model.end);
    this.motion = new Motion(this.scale);
    this.theme = new Theme();
    this.scroller = byId("scroller");
    this.stage = byId("stage");
    this.canvas = byId("canvas");
    this.top = AXIS + (this.model.hasLane ? LANE : 0);
    this.picked = { call: null, message: null };
    /** @type {any} what is under the pointer */
    this.hover = null;
    /** @type {Set<number>|null} */
    this.matches = null;
    this.filter = { kinds: new Set(), tools: new Set() };
    this.shown = this.model.rows;
    this.packed = this.model.calls.length > PACK_FROM;
    this.critical = true;
    this.drawn = 0;
    this.moved = false; // the window, by somebody
    this.chains = new Map();
    this.overview = new Overview(this);
    this.brush = new Brush(this, this.overview);
    this.tooltip = new Tooltip(this);
    this.detail = new Detail(this);
    this.search = new Search(this);
    this.pointer = new Pointer(this);
    this.keys = new Keys(this);
    this.#listen();
  }

  #listen() {
    byId("critical").addEventListener("click", () => this.setCritical(!this.critical));
    byId("pack").addEventListener("click", () => this.setPacked(!this.packed));
    byId("fit").addEventListener("click", () => this.fit());
    byId("theme").addEventListener("click", () => this.toggleTheme());
    byId("help").addEventListener("click", () => this.keys.toggle());
    this.theme.dark.addEventListener("change", () => this.recolour());
    this.scroller.addEventListener("scroll", () => this.#scrolled());
    new ResizeObserver(() => this.resize()).observe(this.scroller);
    // The ratio of pixels changes when the window goes to another screen, or is zoomed.
    window.addEventListener("resize", () => this.resize());
  }

  start() {
    document.title = `${this.model.session || "session"} – asyncfc timeline`;
    byId("session").textContent = this.model.session;
    showFigures(this.model);
    showChips(this);
    showSummary(this.model);
    byId("pack").setAttribute("aria-pressed", String(this.packed));
    this.resize();
    this.#paint();
    performance.mark("asyncfc:drawn");
  }

  // Sizes

  resize() {
    this.width = this.scroller.clientWidth;
    this.height = Math.max(this.top + ROW, this.scroller.clientHeight);
    this.#measure();
    this.relayout();
    this.overview.draw();
    if (!this.moved) this.#begin();
  }

  /** What is shown at first. A frame may get its size late: until somebody moves, it is chosen anew. */
  #begin() {
    if (!this.packed) this.fitRows(false);
    this.moved = false;
  }

  /** As wide as the labels need, within limits. */
  #measure() {
    const narrow = window.innerWidth < 640;
    const pen = this.canvas.getContext("2d");
    pen.font = FONT.small;
    const numbers = pen.measureText(String(this.model.messages.length)).width;
    this.margin = this.model.hasLane ? Math.round(24 + numbers) : 14;
    pen.font = FONT.text;
    const names = this.model.tools.slice(0, 200).map(([tool]) => pen.measureText(tool.slice(0, 60)).width);
    const deepest = this.model.rows.reduce((most, call) => Math.max(most, Math.min(call.depth, 6)), 0);
    const wanted = this.margin + Math.max(0, ...names) + deepest * 12 + (narrow ? 34 : 112);
    const most = narrow ? 132 : Math.min(320, Math.max(176, 0.34 * this.width));
    this.gutter = Math.round(Math.min(Math.max(wanted, narrow ? 96 : 176), most));
    this.scale.left = this.gutter + 10;
    this.scale.right = Math.max(this.scale.left + 40, this.width - 16);
  }

  relayout() {
    const room = this.height - this.top;
    /** @type {any} Rows or Packed */
    this.layout = this.packed ? new Packed(this.shown, room, this.scale.end) : new Rows(this.shown);
    this.#stretch();
    this.redraw();
  }

  /** As long as the rows are; so that the last one can be seen above what covers it, too. */
  #stretch() {
    const wanted = this.top + this.layout.height + 12 + this.detail.covers;
    this.stage.style.height = `${Math.max(this.height, wanted)}px`;
  }

  // The window

  /** Show a window of time; gently, if it is not dragged there. */
  show(from, to, gently = true) {
    this.moved = true;
    this.motion.begin(from, to, gently);
    this.redraw();
  }

  fit() {
    this.show(...this.scale.limits);
  }

  /** Show a span with some room around it. */
  showSpan(start, stop, gently = true) {
    const room = Math.max((stop - start) * 0.12, this.scale.end * 1e-5);
    this.show(start - room, stop + room, gently);
  }

  /** Show when the rows in sight are; all of the run if they are all of it. */
  fitRows(gently = true) {
    if (this.layout.packed) return this.fit();
    const top = this.scroller.scrollTop;
    const [first, last] = this.layout.between(top, top + this.height - this.top);
    const calls = this.layout.calls.slice(first, last);
    if (!calls.length || calls.length === this.model.calls.length) return this.show(...this.scale.limits, gently);
    const start = Math.min(...calls.map((call) => call.begin));
    return this.showSpan(start, Math.max(...calls.map((call) => call.stop)), gently);
  }

  // Scrolling

  scrollTo(top) {
    if (Math.abs(this.scroller.scrollTop - top) < 1) return;
    this.quiet = true;
    this.scroller.scrollTop = top;
  }

  #scrolled() {
    this.moved = true;
    if (!this.quiet && !this.packed && !this.motion.going) follow(this);
    this.quiet = false;
    if (this.hover) this.hoverAt(this.hover, this.hover.pageX, this.hover.pageY);
    this.redraw();
  }

  // Selection

  /** @param {number|null} order @param {boolean} [sought] whether to bring it into sight */
  select(order, sought = true) {
    const call = order === null ? null : this.model.byOrder.get(order);
    this.moved = true;
    this.picked = { call: call ? call.order : null, message: null };
    this.#pickedChanged();
    if (call && sought) reveal(this, call);
  }

  /** @param {number} number of a message */
  selectMessage(number) {
    this.moved = true;
    this.picked = { call: null, message: number };
    this.#pickedChanged();
    const message = this.model.messages.find((one) => one.number === number);
    if (message.start !== null) revealSpan(this, message.start, message.stop ?? this.model.end);
  }

  #pickedChanged() {
    this.chains.clear();
    this.detail.show();
    if (this.scroller.clientWidth !== this.width) this.resize();
    else this.#stretch();
    this.redraw();
  }

  /** @param {number} by how many rows */
  step(by) {
    const index = this.shown.findIndex((call) => call.order === this.picked.call);
    const top = this.layout.packed ? 0 : this.layout.between(this.scroller.scrollTop, this.height)[0];
    const next = index < 0 ? top : Math.min(Math.max(index + by, 0), this.shown.length - 1);
    if (this.shown[next]) this.select(this.shown[next].order);
  }

  /** @returns {number[]} the calls whose arrows are drawn strongly */
  focus() {
    const hovered = this.hover && this.hover.call ? this.hover.call.order : null;
    return [...new Set([this.picked.call, hovered])].filter((order) => order !== null);
  }

  /** @param {number} order */
  ancestry(order) {
    if (!this.chains.has(order)) this.chains.set(order, this.model.ancestry(order));
    return this.chains.get(order);
  }

  /** @param {{x: number, y: number}|null} at @param {number} [pageX] @param {number} [pageY] */
  hoverAt(at, pageX = 0, pageY = 0) {
    this.hover = at === null ? null : { ...hit(this, at), x: at.x, y: at.y, t: this.scale.t(at.x), pageX, pageY };
    const { call, message } = this.hover || {};
    this.canvas.style.cursor = call || message ? "pointer" : "";
    const telling = this.hover && (this.hover.x > this.gutter || !this.layout.packed) ? this.hover : null;
    this.tooltip.show(telling, pageX, pageY);
    this.redraw();
  }

  // Modes

  /** @param {Call} call @returns {boolean} whether a search looks for others */
  isDim(call) {
    return this.matches !== null && !this.matches.has(call.order);
  }

  refilter() {
    const { kinds, tools } = this.filter;
    const wanted = (call) => (!kinds.size || kinds.has(call.kind)) && (!tools.size || tools.has(call.tool));
    this.shown = this.model.rows.filter(wanted);
    this.relayout();
  }

  setPacked(packed) {
    this.packed = packed;
    byId("pack").setAttribute("aria-pressed", String(packed));
    this.hoverAt(null);
    this.relayout();
    const call = this.model.byOrder.get(this.picked.call);
    this.scrollTo(0);
    if (call) reveal(this, call);
    else if (packed) this.fit();
    else if (this.scale.whole) this.fitRows();
  }

  setCritical(critical) {
    this.critical = critical;
    byId("critical").setAttribute("aria-pressed", String(critical));
    this.redraw();
  }

  toggleTheme() {
    this.theme.toggle();
    this.recolour();
  }

  recolour() {
    this.theme.read();
    this.keys.dialog.replaceChildren();
    this.overview.draw();
    this.redraw();
  }

  // Drawing

  /** @param {number} start @param {number} stop @returns {[number, number]} in pixels, cut where none see it */
  visible(start, stop) {
    const { left, right } = this.scale;
    const cut = (x) => Math.min(Math.max(x, left - 16), right + 18);
    return [cut(this.scale.x(start)), cut(this.scale.x(stop))];
  }

  redraw() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.#paint();
    });
  }

  #paint() {
    if (this.motion.advance()) this.redraw();
    draw(this);
    this.brush.show();
  }
}
