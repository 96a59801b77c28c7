// Time and pixels: the window that is visible, how it zooms and pans, and the ticks of its axis.

const LONG_STEPS = [60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];

class Scale {
  /** @param {number} end of the run, in seconds */
  constructor(end) {
    this.end = end > 0 ? end : 1e-3;
    this.left = 0;
    this.right = 1;
    this.limits = [-0.015 * this.end, 1.03 * this.end];
    this.from = this.limits[0];
    this.to = this.limits[1];
  }

  get span() {
    return this.to - this.from;
  }

  /** Where the run begins when all of it is visible, in pixels. */
  get zero() {
    return Math.round(this.left - (this.limits[0] / (this.limits[1] - this.limits[0])) * (this.right - this.left));
  }

  /** Whether all of the run is visible. */
  get whole() {
    return this.from <= this.limits[0] * 0.999 && this.to >= this.limits[1] * 0.999;
  }

  /** @param {number} t @returns {number} */
  x(t) {
    return this.left + ((t - this.from) / this.span) * (this.right - this.left);
  }

  /** @param {number} x @returns {number} */
  t(x) {
    return this.from + ((x - this.left) / (this.right - this.left)) * this.span;
  }

  /** @param {number} from @param {number} to @returns {[number, number]} the nearest window there can be */
  allowed(from, to) {
    const [low, high] = this.limits;
    const span = Math.min(Math.max(to - from, this.end * 1e-6, 1e-9), high - low);
    const middle = (from + to) / 2;
    const start = Math.min(Math.max(middle - span / 2, low), high - span);
    return [start, start + span];
  }

  /** @param {number} from @param {number} to */
  set(from, to) {
    [this.from, this.to] = this.allowed(from, to);
  }

  /**
   * @param {number} t what stays where it is @param {number} factor less than 1 comes nearer
   * @returns {[number, number]} the window that this makes
   */
  zoomed(t, factor) {
    const span = Math.min(Math.max(this.span * factor, this.end * 1e-6, 1e-9), this.limits[1] - this.limits[0]);
    const from = t - ((t - this.from) / this.span) * span;
    return [from, from + span];
  }
}

/** @param {number} span @param {number} count how many ticks there is room for @returns {number} seconds */
function tickStep(span, count) {
  const least = span / Math.max(1, count);
  if (least <= 20) {
    const power = 10 ** Math.floor(Math.log10(least));
    const step = [1, 2, 5, 10].find((one) => one * power >= least * 0.9999) * power;
    return step >= 10 ? (step > 20 ? 60 : step > 10 ? 30 : 10) : step;
  }
  if (least <= 30) return 30;
  const known = LONG_STEPS.find((step) => step >= least);
  return known === undefined ? Math.ceil(least / 86400) * 86400 : known;
}

/** @param {Scale} scale @returns {{step: number, times: number[]}} */
function ticksOf(scale) {
  const step = tickStep(scale.span, (scale.right - scale.left) / 92);
  const times = [];
  for (let index = Math.ceil(scale.from / step - 1e-9); index * step <= scale.to; index += 1) {
    if (index >= 0) times.push(index * step);
  }
  return { step, times };
}
