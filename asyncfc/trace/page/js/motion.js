// How the visible window gets to another one: at once while it is dragged, else gently.

const GENTLY = 180; // ms
const CALM = window.matchMedia("(prefers-reduced-motion: reduce)");

class Motion {
  /** @param {Scale} scale */
  constructor(scale) {
    this.scale = scale;
    /** @type {{from: [number, number], to: [number, number], since: number}|null} where it goes, and since when */
    this.going = null;
  }

  /** Where the window is going to be, or is. */
  get target() {
    return this.going ? this.going.to : [this.scale.from, this.scale.to];
  }

  /** @param {number} from @param {number} to @param {boolean} gently */
  begin(from, to, gently) {
    const { scale } = this;
    this.going = null;
    if (!gently || CALM.matches) scale.set(from, to);
    else this.going = { from: [scale.from, scale.to], to: scale.allowed(from, to), since: performance.now() };
  }

  /** Go on. @returns {boolean} whether it is still on its way */
  advance() {
    if (!this.going) return false;
    const { from, to, since } = this.going;
    const share = Math.min(1, Math.max(0, performance.now() - since) / GENTLY);
    const eased = 1 - (1 - share) ** 3;
    this.scale.set(from[0] + (to[0] - from[0]) * eased, from[1] + (to[1] - from[1]) * eased);
    if (share === 1) this.going = null;
    return share < 1;
  }
}
