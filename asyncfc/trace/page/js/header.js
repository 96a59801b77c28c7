// The figures, the chips that filter, and the hidden summary for those who cannot see the drawing.

/** @param {Model} model @returns {string[][]} of each: its value, more, what it is, and in full */
function figuresOf(model) {
  const report = model.report;
  const outcomes = KINDS.filter((kind) => report.outcomes[kind])
    .map((kind) => counted(report.outcomes[kind], OUTCOMES[kind].word, OUTCOMES[kind].many)).join(", ");
  const count = report.calls.toLocaleString("en");
  const messages = report.messages.toLocaleString("en");
  const extra = report.extra_messages ? ` ${report.extra_messages.toLocaleString("en")} extra` : "";
  const figures = [
    [count, "", report.calls === 1 ? "call" : "calls", outcomes || "No call was made."],
    [messages, extra, report.messages === 1 ? "message" : "messages",
      "Messages of the model. Extra ones were asked for only because outcomes were unseen."],
    [duration(report.t_llm), "", "model", "What the requests to the model took in all."],
    [duration(report.t_tool), "", "tools", "What the work of all calls took, added up."],
    [duration(report.saving), "", "overlap",
      "Model time and tool time less the time in which any of them went on: what overlapped."],
    [duration(report.t_cp), "", "critical path",
      "The longest chain of calls that need each other, by data or by effects, in time of their work."],
  ];
  if (report.bound !== null) {
    figures.push([`${report.bound.toFixed(2)}×`, "", "bound",
      "Model and tool time over the longer of model time and critical path. No order of the same work " +
      "can be faster than one by one by more than this."]);
  }
  return figures;
}

/** @param {Model} model @returns {string[]|null} what the run took, against one by one */
function storyOf(model) {
  if (!(model.sequential > 0 && model.end > 0)) return null;
  const times = (model.sequential / model.end).toFixed(2);
  return [`${duration(model.sequential)} → ${duration(model.end)}`, ` ${times} times as fast`,
    "one by one → asyncfc",
    `One by one: ${duration(model.sequential)}, asyncfc: ${duration(model.end)} (${times} times). An estimate ` +
    "made of the same durations, one after the other, without the extra messages: no measurement of such a run."];
}

/** @param {Model} model */
function showFigures(model) {
  const story = storyOf(model);
  const first = story || [duration(model.end), "", "wall", "From the first event to the last."];
  const all = [first, ...figuresOf(model)];
  if (story) all.splice(3, 0, [duration(model.end), "", "wall", "From the first event to the last."]);
  const nodes = all.map(([value, more, label, hint], index) => {
    const amount = el("dd", "", value);
    if (more) amount.append(el("span", "more", more));
    const node = el("div", `figure${index === 0 ? " story" : ""}${index > 5 ? " late" : ""}`, el("dt", "", label), amount);
    node.append(el("dd", "hint", hint));
    node.tabIndex = 0;
    return node;
  });
  byId("figures").replaceChildren(...nodes);
}

/** @param {App} app the chips: one per outcome and, when they are few, one per tool; then what was waited for */
function showChips(app) {
  const { model } = app;
  const present = KINDS.filter((kind) => model.report.outcomes[kind]);
  const nodes = present.map((kind) => chip(app, app.filter.kinds, kind, model.report.outcomes[kind], kind));
  if (model.tools.length > 1 && model.tools.length <= 8) {
    nodes.push(el("span", "gap"));
    for (const [tool, count] of model.tools) nodes.push(chip(app, app.filter.tools, tool, count, null));
  }
  nodes.push(el("span", "push"), legend(model));
  byId("chips").replaceChildren(...nodes);
}

function chip(app, set, key, count, kind) {
  const label = kind ? OUTCOMES[kind].many : key.length > 28 ? `${key.slice(0, 27)}…` : key;
  const node = button(kind || "tool", [], () => {
    if (!set.delete(key)) set.add(key);
    node.setAttribute("aria-pressed", String(set.has(key)));
    app.refilter();
  });
  if (kind) node.append(sign(kind));
  node.append(label, el("span", "count", count.toLocaleString("en")));
  node.setAttribute("aria-pressed", "false");
  return node;
}

/** How long calls waited in all, by cause; it explains the colours, too. */
function legend(model) {
  const waited = CAUSES.filter((name) => model.report.waited[name] > 0);
  if (!model.calls.length) return el("span", "legend");
  if (!waited.length) return el("span", "legend", "No call waited.");
  const parts = waited.map((name) =>
    el("span", "", el("span", `swatch ${name}`), `${name} `, el("b", "", duration(model.report.waited[name]))));
  return el("span", "legend", el("span", "", "waited for"), ...parts);
}

/** @param {Model} model */
function showSummary(model) {
  const story = storyOf(model);
  const lines = figuresOf(model).map(([value, more, label]) => `${label}: ${value}${more}`);
  if (story) lines.unshift(story[3]);
  const ended = KINDS.filter((kind) => model.report.outcomes[kind])
    .map((kind) => `${OUTCOMES[kind].word}: ${model.report.outcomes[kind]}`);
  byId("summary").textContent = [...lines, ...ended].join("\n");
}
