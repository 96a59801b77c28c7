// The data of the page, with what is looked up and worked out once.

/**
 * @typedef {{of: number, kind: "data"|"gate"|"effect", why: string}} Edge to an older call
 * @typedef {{cause: string, start: number, stop: number, of: number|null, why: string}} Wait
 * @typedef {{order: number, tool: string, level: string, id: string, handle: string|null, name: string,
 *   message: number|null, parent: number|null, written: string|null, arguments: string|null,
 *   outcome: {kind: string, text: string, error?: string}|null, kind: string, critical: boolean, why: string,
 *   times: Object<string, number>, begin: number, stop: number, last: number, seconds: number,
 *   run: [number, number]|null, waits: Wait[], edges: Edge[], depth: number, haystack: string|null}} Call
 */

const KINDS = ["value", "failure", "cancelled", "withheld", "open"];
const CAUSES = ["message", "data", "gate", "effect", "limit", "start"];

class Model {
  /** @param {Object} data as `asyncfc.trace.view` makes it */
  constructor(data) {
    this.session = data.session;
    this.end = data.end;
    this.report = data.report;
    this.oneByOne = data.one_by_one;
    this.sequential = data.one_by_one.length ? data.one_by_one[data.one_by_one.length - 1][3] : 0;
    this.messages = data.messages;
    this.pauses = data.pauses;
    this.critical = data.report.critical_path;
    /** @type {Call[]} */
    this.calls = data.calls.map((one) => derived(one, data.end));
    /** @type {Map<number, Call>} */
    this.byOrder = new Map(this.calls.map((call) => [call.order, call]));
    // What other conversations of one runtime do is not in here.
    for (const call of this.calls) call.edges = call.edges.filter((edge) => this.byOrder.has(edge.of));
    this.#number();
    this.dependants = this.#dependants();
    /** @type {Call[]} in order of registration, children after their parents */
    this.rows = this.#rows();
    this.tools = this.#tools();
    this.hasLane = this.pauses.length > 0 || this.messages.some((one) => one.start !== null);
  }

  /** Calls name their message as the session counts; the page counts requests, also those that failed. */
  #number() {
    for (const message of this.messages) {
      for (const order of message.calls) this.byOrder.get(order).message = message.number;
    }
  }

  #dependants() {
    const found = new Map();
    for (const call of this.calls) {
      for (const edge of call.edges) {
        if (!found.has(edge.of)) found.set(edge.of, []);
        found.get(edge.of).push({ of: call.order, kind: edge.kind, why: edge.why });
      }
    }
    return found;
  }

  #rows() {
    const children = new Map();
    for (const call of this.calls) {
      const parent = this.byOrder.has(call.parent) ? call.parent : null;
      if (!children.has(parent)) children.set(parent, []);
      children.get(parent).push(call);
    }
    const rows = [];
    const stack = (children.get(null) || []).slice().reverse();
    while (stack.length) {
      const call = stack.pop();
      rows.push(call);
      for (const child of (children.get(call.order) || []).slice().reverse()) {
        child.depth = call.depth + 1;
        stack.push(child);
      }
    }
    return rows;
  }

  #tools() {
    const counts = new Map();
    for (const call of this.calls) counts.set(call.tool, (counts.get(call.tool) || 0) + 1);
    return [...counts].sort((a, b) => b[1] - a[1]);
  }

  /**
   * The edges on all ways that lead to a call.
   * @param {number} order @param {number} most how many, at most: a chain may be as long as the run
   * @returns {{from: number, to: number, kind: string}[]} nearest first
   */
  ancestry(order, most = 2000) {
    const edges = [];
    const seen = new Set([order]);
    const queue = [order];
    for (let at = 0; at < queue.length && edges.length < most; at += 1) {
      for (const edge of this.byOrder.get(queue[at]).edges) {
        edges.push({ from: edge.of, to: queue[at], kind: edge.kind });
        if (!seen.has(edge.of)) {
          seen.add(edge.of);
          queue.push(edge.of);
        }
      }
    }
    return edges;
  }

  /** @param {string} words @returns {Set<number>|null} orders of the calls that match; null: no search */
  search(words) {
    const wanted = words.trim().toLowerCase();
    if (!wanted) return null;
    return new Set(this.calls.filter((call) => haystack(call).includes(wanted)).map((call) => call.order));
  }
}

/** @param {Object} one @param {number} end @returns {Call} */
function derived(one, end) {
  const times = one.times;
  const moments = Object.values(times);
  const begin = times.sealed ?? (moments.length ? Math.min(...moments) : 0);
  const stop = times.settled ?? times.withdrawn ?? end;
  return {
    ...one,
    name: one.handle || one.id || `call ${one.order}`,
    kind: one.outcome ? one.outcome.kind : "open",
    begin,
    stop,
    last: Math.max(stop, ...moments),
    seconds: times.started === undefined ? 0 : Math.max(0, stop - times.started),
    run: times.started === undefined ? null : [times.started, Math.max(times.started, stop)],
    waits: one.waits.map(([cause, start, end_, of, why]) => ({ cause, start, stop: end_, of, why })),
    edges: edgesOf(one),
    depth: 0,
    haystack: null,
  };
}

/** One edge per older call: its value says more than its success, and that more than an order of effects. */
function edgesOf(one) {
  const found = new Map();
  for (const [of, kind, label] of one.effects) found.set(of, { of, kind: "effect", why: `${kind} ${label}` });
  for (const of of one.gates) found.set(of, { of, kind: "gate", why: "" });
  for (const of of one.needs) found.set(of, { of, kind: "data", why: "" });
  return [...found.values()];
}

/** @param {Call} call @returns {string} all that a search looks at */
function haystack(call) {
  if (call.haystack === null) {
    const texts = [call.tool, call.handle, call.id, call.written, call.arguments];
    texts.push(call.outcome && call.outcome.error, call.outcome && call.outcome.text);
    call.haystack = texts.filter(Boolean).join("\n").toLowerCase();
  }
  return call.haystack;
}
