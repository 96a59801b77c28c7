// Where each call stands, from the top of the first row: one row per call, or packed lanes per tool.

const ROW = 26;
const GROUP_GAP = 10;
const GROUP_LEAST = 20;
const THICKEST = 20; // lanes
const THINNEST = 4;

/** @typedef {{y: number, half: number}} Box the middle of a bar, and half of its height */

/** One row per call. */
class Rows {
  /** @param {Call[]} calls in the order of the rows */
  constructor(calls) {
    this.packed = false;
    this.calls = calls;
    this.height = calls.length * ROW;
    this.index = new Map(calls.map((call, index) => [call.order, index]));
  }

  /** @param {number} order @returns {Box|null} */
  box(order) {
    const index = this.index.get(order);
    return index === undefined ? null : { y: index * ROW + 11.5, half: 7 };
  }

  /** @param {number} top @param {number} bottom @returns {[number, number]} first and one past the last row */
  between(top, bottom) {
    return [Math.max(0, Math.floor(top / ROW)), Math.min(this.calls.length, Math.ceil(bottom / ROW))];
  }

  /** @param {number} y @returns {Call|null} */
  at(y) {
    return this.calls[Math.floor(y / ROW)] || null;
  }
}

/** Lanes per tool; a call takes the first lane that is free while it runs. */
class Packed {
  /** @param {Call[]} calls @param {number} room the height that is there @param {number} end of the run */
  constructor(calls, room, end) {
    this.packed = true;
    this.calls = calls;
    this.groups = groupsOf(calls, end / 2000);
    /** @type {Map<number, number>} the top of each call's lane */
    this.tops = new Map();
    this.lane = THICKEST;
    while (this.lane > THINNEST && this.#needed() > room) this.lane -= 1;
    this.height = this.#place();
  }

  #needed() {
    const heights = this.groups.map((group) => Math.max(GROUP_LEAST, group.lanes.length * this.lane) + GROUP_GAP);
    return heights.reduce((sum, one) => sum + one, 16);
  }

  #place() {
    let y = 6;
    for (const group of this.groups) {
      group.top = y;
      group.height = Math.max(GROUP_LEAST, group.lanes.length * this.lane);
      group.lanes.forEach((lane, index) => {
        for (const call of lane) this.tops.set(call.order, y + index * this.lane);
      });
      y += group.height + GROUP_GAP;
    }
    return y;
  }

  /** @param {number} order @returns {Box|null} */
  box(order) {
    const top = this.tops.get(order);
    const thick = this.lane > 6 ? this.lane - 2 : this.lane - 1;
    return top === undefined ? null : { y: top + this.lane / 2, half: thick / 2 };
  }

  /** @param {number} y @param {number} t @param {number} slack seconds beside a bar that still count */
  at(y, t, slack) {
    const group = this.groups.find((one) => one.top <= y && y < one.top + one.height);
    const lane = group && group.lanes[Math.floor((y - group.top) / this.lane)];
    if (!lane) return null;
    const first = firstAfter(lane, t - slack);
    const near = lane.slice(first, first + 8).filter((call) => spanOf(call)[0] <= t + slack);
    return near.find((call) => spanOf(call)[0] <= t && t <= spanOf(call)[1]) || near[0] || null;
  }
}

/** @param {Call} call @returns {[number, number]} when it ran; if it never did, the moment of its outcome */
function spanOf(call) {
  return call.run || [call.stop, call.stop];
}

/** @param {Call[]} lane @param {number} t @returns {number} the index of the first that ends after t */
function firstAfter(lane, t) {
  let [low, high] = [0, lane.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (spanOf(lane[middle])[1] < t) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** @param {Call[]} calls @param {number} least what a bar takes at least, so that none hides another */
function groupsOf(calls, least) {
  const groups = new Map();
  for (const call of [...calls].sort((a, b) => spanOf(a)[0] - spanOf(b)[0])) {
    if (!groups.has(call.tool)) groups.set(call.tool, { tool: call.tool, count: 0, lanes: [], ends: [] });
    const group = groups.get(call.tool);
    const [start, stop] = spanOf(call);
    const free = group.ends.findIndex((end) => end <= start);
    const index = free < 0 ? group.lanes.length : free;
    if (free < 0) group.lanes.push([]);
    group.lanes[index].push(call);
    group.ends[index] = Math.max(stop, start + least);
    group.count += 1;
  }
  return [...groups.values()];
}
