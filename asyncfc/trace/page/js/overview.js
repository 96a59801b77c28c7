// The strip: the run one by one and as it was, at one scale; what was saved; where the window is.

const SMALL_SHARE = 0.3; // of the strip's width: a run that takes less is drawn once more, enlarged

class Overview {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.canvas = byId("strip");
    this.place = byId("overview");
    const { model } = app;
    this.most = Math.max(model.sequential, model.end) || 1e-3;
    this.enlarged = model.sequential > 0 && model.end / this.most < SMALL_SHARE;
    this.place.classList.toggle("tall", this.enlarged);
    this.place.hidden = !(model.end > 0);
  }

  /** Where the row that the brush lies over is, and its scale. */
  get row() {
    const height = this.height;
    const y = this.enlarged ? height - 40 : this.app.model.sequential > 0 ? height / 2 + 2 : height / 4 + 4;
    return { y, height: this.enlarged ? 32 : height / 2 - 9, most: this.enlarged ? this.app.scale.end : this.most };
  }

  /** @param {number} t @param {number} [most] @returns {number} */
  x(t, most = this.most) {
    return this.left + (t / most) * (this.right - this.left);
  }

  /** @param {number} x @returns {number} the time in the row of the brush */
  t(x) {
    return ((x - this.left) / (this.right - this.left)) * this.row.most;
  }

  draw() {
    if (this.place.hidden) return;
    this.width = this.place.clientWidth;
    this.height = this.place.clientHeight;
    this.left = this.app.scale.zero; // so that both drawings begin at one place
    this.right = this.width - 84;
    const pen = fitCanvas(this.canvas, this.width, this.height);
    pen.clearRect(0, 0, this.width, this.height);
    pen.textBaseline = "middle";
    if (this.app.model.sequential > 0) this.#drawOneByOne(pen);
    const [low, height] = this.enlarged ? [30, 18] : [this.row.y, this.row.height];
    this.#drawRun(pen, low, height, this.most, "asyncfc");
    if (this.enlarged) this.#drawEnlarged(pen, low + height);
  }

  #label(pen, text, y, bold = false) {
    const { colour } = this.app.theme;
    pen.textAlign = "left";
    pen.font = FONT.text;
    pen.fillStyle = bold ? colour.ink : colour.muted;
    pen.fillText(fitText(pen, text, this.app.gutter - 20), 14, y);
  }

  #total(pen, seconds, most, y, bold) {
    pen.font = bold ? FONT.bold : FONT.small;
    pen.textAlign = "left";
    pen.fillStyle = this.app.theme.colour[bold ? "ink" : "muted"];
    pen.fillText(duration(seconds), this.x(seconds, most) + 8, y);
  }

  #drawOneByOne(pen) {
    const { model, theme } = this.app;
    const height = this.enlarged ? 14 : 18;
    const y = this.enlarged ? 9 : this.height / 4 - 6;
    const full = Math.max(1, model.oneByOne.length / (this.right - this.left)) < 4;
    for (const [kind, , start, stop] of model.oneByOne) {
      if (stop <= start) continue;
      const [x1, x2] = [this.x(start), this.x(stop)];
      pen.fillStyle = theme.colour[kind === "message" ? "model" : "value"];
      pen.fillRect(x1, y, Math.max(full ? 0.75 : 0.3, x2 - x1 - (x2 - x1 > 3 ? 0.75 : 0)), height);
    }
    this.#label(pen, "one by one", y + height / 2);
    this.#total(pen, model.sequential, this.most, y + height / 2, false);
  }

  #drawRun(pen, y, height, most, label) {
    const { model, theme } = this.app;
    const upper = model.messages.some((one) => one.start !== null) ? Math.max(6, Math.round(height * 0.36)) : 0;
    for (const message of model.messages) {
      if (message.start === null) continue;
      const [x1, x2] = [this.x(message.start, most), this.x(message.stop ?? model.end, most)];
      pen.fillStyle = theme.colour[message.ok ? "model" : "failure"];
      pen.globalAlpha = message.extra ? 0.5 : 1;
      pen.fillRect(x1, y, Math.max(0.75, x2 - x1 - (x2 - x1 > 3 ? 0.75 : 0)), upper);
    }
    pen.globalAlpha = 1;
    this.#drawLoad(pen, y + upper + 1, height - upper - 1, most);
    this.#label(pen, label, y + height / 2, true);
    if (most === this.most) this.#total(pen, model.end, most, y + height / 2, true);
  }

  /** How many calls run at each moment, as an area; red are those that fail. */
  #drawLoad(pen, y, height, most) {
    const { model, theme } = this.app;
    const columns = Math.max(1, Math.ceil(this.x(model.end, most) - this.left) + 1);
    const column = (t) => this.x(t, most) - this.left;
    const all = loadOf(model.calls, columns, column);
    const failing = loadOf(model.calls.filter((call) => call.kind === "failure"), columns, column);
    const peak = all.reduce((best, one) => Math.max(best, one), 1);
    for (const [load, name] of [[all, "value"], [failing, "failure"]]) {
      pen.fillStyle = theme.colour[name];
      fillArea(pen, load, this.left, y + height, (count) => (count ? Math.max(1.5, (count / peak) * height) : 0));
    }
  }

  #drawEnlarged(pen, from) {
    const { model, theme } = this.app;
    const { y, height, most } = this.row;
    pen.fillStyle = theme.colour.band;
    pen.beginPath();
    pen.moveTo(this.left, from + 2);
    pen.lineTo(this.x(model.end) + 1, from + 2);
    pen.lineTo(this.right, y - 2);
    pen.lineTo(this.left, y - 2);
    pen.fill();
    this.#drawRun(pen, y, height - 4, most, "enlarged");
  }
}

/** @param {Call[]} calls @param {number} columns of one pixel @returns {Float64Array} calls at work in each */
function loadOf(calls, columns, column) {
  const change = new Float64Array(columns + 2);
  for (const call of calls) {
    if (!call.run) continue;
    const from = Math.min(columns, Math.max(0, Math.round(column(call.run[0]))));
    const to = Math.min(columns + 1, Math.max(from + 1, Math.round(column(call.run[1]))));
    change[from] += 1;
    change[to] -= 1;
  }
  for (let index = 1; index < change.length; index += 1) change[index] += change[index - 1];
  return change.subarray(0, columns);
}

/** Fill steps, one per pixel, in one piece: columns of their own would leave seams on some screens. */
function fillArea(pen, load, left, bottom, tall) {
  pen.beginPath();
  pen.moveTo(left, bottom);
  load.forEach((count, index) => {
    if (index && load[index - 1] === count) return;
    if (index) pen.lineTo(left + index, bottom - tall(load[index - 1]));
    pen.lineTo(left + index, bottom - tall(count));
  });
  pen.lineTo(left + load.length, bottom - tall(load[load.length - 1]));
  pen.lineTo(left + load.length, bottom);
  pen.fill();
}
