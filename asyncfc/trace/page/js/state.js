// What a call does at a moment, and why, as sentences.

const OUTCOMES = {
  value: { word: "value", many: "values" },
  failure: { word: "failure", many: "failures" },
  cancelled: { word: "cancelled", many: "cancelled" },
  withheld: { word: "withheld", many: "withheld" },
  open: { word: "not ended", many: "not ended" },
};

/** @param {Call|undefined} call @returns {string} */
function named(call) {
  return call === undefined ? "an earlier call" : `${call.tool} (${call.name})`;
}

/** @param {Wait} wait @param {Model} model @returns {string} what a call waits for */
function cause(wait, model) {
  const other = named(model.byOrder.get(wait.of));
  switch (wait.cause) {
    case "message": return "for its message to be complete";
    case "data": return `for the value of ${other}`;
    case "gate": return `for ${other} to succeed`;
    case "effect": return `for ${other} to end (${wait.why})`;
    case "limit": return wait.why ? `for a slot (${wait.why})` : "for a slot";
    default: return "until somebody asked for it";
  }
}

/** @param {Call} call @param {number} t @param {Model} model @returns {string} */
function stateAt(call, t, model) {
  const wait = call.waits.find((one) => one.start <= t && t < one.stop);
  if (wait) return `Waits ${duration(wait.stop - wait.start)} ${cause(wait, model)}.`;
  if (call.run && call.run[0] <= t && t < call.run[1]) {
    return call.times.settled === undefined ? "Runs, and has not ended." : "Runs.";
  }
  if (t < call.begin) return "Not registered yet.";
  return after(call, t);
}

/** @param {Call} call @param {number} t a moment after its work @returns {string} */
function after(call, t) {
  const { ended, released, delivered, seen, withdrawn } = call.times;
  if (withdrawn !== undefined && call.kind === "open") return "Was withdrawn: its message never completed.";
  const said = call.kind === "open" ? "Has not ended." : `Ended: ${OUTCOMES[call.kind].word}.`;
  if (ended !== undefined && t < ended) return `${said} Its work goes on; nobody gets what comes of it.`;
  if (released !== undefined && t < released) return `${said} Later calls still wait for it.`;
  if (seen !== undefined && t >= seen) return `${said} The model has seen it.`;
  if (delivered !== undefined && t >= delivered) return `${said} It is in the request to the model.`;
  return said;
}

/** @param {Call} call @returns {Wait|null} the longest one for another call */
function longestWait(call) {
  const others = call.waits.filter((wait) => wait.of !== null);
  return others.reduce((best, one) =>
    best === null || one.stop - one.start > best.stop - best.start ? one : best, null);
}
