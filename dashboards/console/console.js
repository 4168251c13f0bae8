// Asks for the fleet every two seconds and shows it. Rows are kept and changed in place, so that focus and
// selection survive. Everything that comes from outside goes in by textContent.

import { askForKey, withKey } from "./keys.js";
import { ask } from "./orders.js";
import { actor, ago, allows, count, money, span, took, whom } from "./words.js";

const EVERY = 2000;
const at = (id) => document.getElementById(id);
const [live, trouble, said, window_] = [at("live"), at("trouble"), at("said"), at("window")];

let shown = null;
let heard = 0;
let timer = 0;
let turn = 0;

async function refresh() {
  clearTimeout(timer);
  const mine = ++turn;
  try {
    const response = await fetch(`/api/v1/fleet?window=${encodeURIComponent(window_.value)}`, {
      headers: withKey(),
      signal: AbortSignal.timeout(8000),
    });
    const answer = await response.json();
    if (response.status === 401) askForKey(answer?.error?.message ?? "", refresh);
    if (!response.ok) throw new Error(answer?.error?.message ?? `the server answered ${response.status}`);
    if (mine !== turn) return;
    heard = Date.now();
    shown = answer;
    show(answer);
    alive("live", "live");
    complain(answer.errors.join("\n"));
  } catch (error) {
    if (mine !== turn) return;
    const since = heard ? `, these figures are ${span(Math.round((Date.now() - heard) / 1000))} old` : "";
    alive("lost", `no answer${since}`);
    complain(`The server gives no answer: ${error.message}. The agents go on under the last orders they know.`);
  }
  if (!document.hidden) timer = setTimeout(refresh, EVERY);
}

function alive(state, text) {
  live.dataset.state = state;
  write(at("live-text"), text);
}

function complain(text) {
  // Written only when it changes: a screen reader says it again each time.
  write(trouble, text);
  trouble.hidden = !text;
}

function show(fleet) {
  write(at("workspace"), fleet.workspace);
  totals(fleet.totals);
  holds(fleet);
  agents(fleet);
  list(at("actions-list"), at("actions-empty"), fleet.actions, (action) => action.action_id, action_, fleet.now);
  list(at("alerts-list"), at("alerts-empty"), fleet.alerts, (alert) => `${alert.rule} ${alert.key}`, alert_, fleet.now);
}

function totals(totals) {
  exact(at("total-cost"), money(totals.cost_usd, 4), totals.cost_usd);
  exact(at("total-per-decision"), money(totals.cost_per_decision_usd, 6), totals.cost_per_decision_usd);
  write(at("total-unpriced"), totals.unpriced_calls ? `${count(totals.unpriced_calls)} calls without a price` : "");
  for (const name of ["decisions", "executions", "calls", "agents", "firing"]) {
    write(at(`total-${name}`), count(totals[name]));
  }
  at("total-firing").classList.toggle("alarmed", totals.firing > 0);
  const states = ["frozen", "degraded", "throttled"].filter((state) => totals[state] > 0);
  write(at("total-states"), states.map((state) => `${totals[state]} ${state}`).join(", ") || "all running");
}

// What is in force for more (or other) than one agent.

function holds(fleet) {
  const wide = fleet.in_force.filter((entry) => entry.scope !== "agent");
  at("holds").hidden = wide.length === 0;
  keep(at("holds-list"), wide, (entry) => entry.action_id, () => {
    const item = element("li");
    const state = part(item, "span", "");
    part(state, "span", "mark").ariaHidden = "true";
    const [word, why] = [part(state, "span", "word"), part(item, "span", "why")];
    const release = part(item, "button", "");
    release.type = "button";
    release.textContent = "Release";
    const parts = { item, state, word, why, entry: null };
    release.addEventListener("click", () => order("release", parts.entry.scope, parts.entry.target));
    return parts;
  }, (parts, entry) => {
    parts.entry = entry;
    parts.state.className = entry.state;
    parts.item.className = `held-${entry.state}`;
    write(parts.word, `${whom(entry.scope, entry.target)} ${entry.state}`);
    write(parts.why, because(entry, fleet.now));
  });
}

// The agents.

function agents(fleet) {
  at("agents-empty").hidden = fleet.agents.length > 0;
  const dearest = Math.max(0, ...fleet.agents.map((agent) => Number(agent.cost_usd ?? 0)));
  keep(at("agents-rows"), fleet.agents, (agent) => (agent.agent === null ? "nobody" : `agent ${agent.agent}`), newAgent, (row, agent) => {
    row.agent = agent;
    write(row.name, agent.agent ?? "(no agent)");
    row.name.title = agent.agent ?? "calls that no agent could be found for";
    row.name.classList.toggle("nobody", agent.agent === null);
    row.state.className = `state ${agent.state}`;
    row.mark.hidden = agent.agent === null;
    write(row.word, agent.agent === null ? "" : agent.state);
    write(row.why, agent.held_by ? because(agent.held_by, fleet.now, agent.held_by.scope !== "agent") : "");
    exact(row.cost, money(agent.cost_usd, 4), agent.cost_usd);
    row.bar.style.width = dearest > 0 ? `${Math.max(0, Number(agent.cost_usd ?? 0) / dearest) * 100}%` : "0";
    spark(row.spark, agent.spend_usd);
    exact(row.per, money(agent.cost_per_decision_usd, 6), agent.cost_per_decision_usd);
    for (const name of ["decisions", "executions", "calls"]) write(row[name], count(agent[name]));
    write(row.unpriced, agent.unpriced_calls ? `${count(agent.unpriced_calls)} unpriced` : "");
    write(row.seen, ago(agent.last_seen, fleet.now));
    row.seen.title = agent.last_seen ?? "";
    const alert = agent.last_alert;
    row.alert.classList.toggle("alarmed", alert?.state === "firing");
    write(row.alert, alert ? `${alert.rule} ${alert.state}` : "\u2013");
    write(row.alerted, alert ? ago(alert.at, fleet.now) : "");
    row.freeze.hidden = agent.agent === null || agent.own_state === "frozen";
    row.release.hidden = agent.agent === null || agent.own_state === "running";
    row.freeze.ariaLabel = `Freeze ${agent.agent}`;
    row.release.ariaLabel = `Release ${agent.agent}`;
  });
}

function newAgent() {
  const item = element("tr");
  const row = { item, agent: null };
  row.name = part(item, "th", "");
  row.name.scope = "row";
  row.state = part(item, "td", "state");
  const line = part(row.state, "span", "line");
  row.mark = part(line, "span", "mark");
  row.mark.ariaHidden = "true";
  row.word = part(line, "span", "word");
  for (const action of ["freeze", "release"]) {
    row[action] = part(line, "button", "");
    row[action].type = "button";
    row[action].textContent = action === "freeze" ? "Freeze" : "Release";
    row[action].addEventListener("click", () => order(action, "agent", row.agent.agent));
  }
  row.why = part(row.state, "span", "under");
  const cost = part(item, "td", "number");
  row.cost = part(cost, "span", "");
  row.bar = part(cost, "span", "cost-bar");
  row.spark = drawing(part(item, "td", ""));
  for (const name of ["per", "decisions", "executions"]) row[name] = part(item, "td", "number");
  const calls = part(item, "td", "number");
  row.calls = part(calls, "span", "");
  row.unpriced = part(calls, "span", "under");
  row.seen = part(item, "td", "number");
  const alert = part(item, "td", "alert");
  row.alert = part(alert, "span", "");
  row.alerted = part(alert, "span", "under");
  return row;
}

const SVG = "http://www.w3.org/2000/svg";

function drawing(parent) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "spark");
  svg.setAttribute("viewBox", "0 0 122 24");
  svg.setAttribute("role", "img");
  const floor = svg.appendChild(document.createElementNS(SVG, "line"));
  for (const [name, value] of [["x1", 0], ["x2", 122], ["y1", 23.5], ["y2", 23.5]]) floor.setAttribute(name, value);
  parent.append(svg);
  return svg;
}

// One bar a minute; the last one is not over yet. Heights only: the figures beside it are exact.
function spark(svg, minutes) {
  const heights = minutes.map(Number);
  const peak = Math.max(0, ...heights);
  const bars = [...svg.querySelectorAll("rect")];
  heights.forEach((value, index) => {
    const bar = bars[index] ?? svg.appendChild(document.createElementNS(SVG, "rect"));
    const height = peak > 0 && value > 0 ? Math.max(1, (value / peak) * 22) : 0;
    bar.setAttribute("class", index === heights.length - 1 ? "open" : "");
    bar.setAttribute("x", index * 4 + 1);
    bar.setAttribute("width", 3);
    bar.setAttribute("y", 23 - height);
    bar.setAttribute("height", height);
  });
  bars.slice(heights.length).forEach((bar) => bar.remove());
  const highest = minutes[heights.indexOf(peak)];
  svg.setAttribute("aria-label", peak > 0 ? `spend by minute, at most ${money(highest, 4)} dollars a minute` : "no spend in 30 minutes");
}

// Alerts and actions.

function action_(item, action, now) {
  if (!item.what) {
    item.what = part(item.item, "span", "what");
    item.whom = part(item.what, "b", "");
    item.mode = part(item.what, "span", "tag");
    item.when = part(item.item, "time", "when");
    item.why = part(item.item, "span", "why");
    item.times = part(item.item, "span", "times");
    item.track = part(item.times, "span", "track");
    item.track.ariaHidden = "true";
    item.ticks = ["received", "decided", "obeyed"].map((name) => part(item.track, "i", `tick ${name}`));
    item.measured = part(item.times, "span", "");
    item.obeyed = part(item.measured, "b", "");
    item.rest = part(item.measured, "span", "");
  }
  write(item.whom, `${whom(action.scope, action.target)} ${action.state}`);
  write(item.mode, action.mode === "shadow" ? "shadow: changed nothing" : action.released_at ? `released ${ago(action.released_at, now)}` : "");
  item.mode.hidden = !item.mode.textContent;
  time(item.when, action.decided_at, now);
  write(item.why, `${action.reason} \u00b7 ${actor(action.actor)}`);
  const caused = action.decided_after_us !== null;
  const marks = caused
    ? [action.received_after_us, action.decided_after_us, action.obeyed_after_us]
    : [null, 0, action.obeyed_after_decision_us];
  item.ticks.forEach((tick, index) => {
    const mark = marks[index];
    tick.hidden = mark === null || mark < 0 || mark > 1_000_000;
    if (!tick.hidden) tick.style.left = `${mark / 10_000}%`;
  });
  const obeyed = marks[2];
  write(item.obeyed, obeyed === null ? (action.mode === "shadow" ? "" : "not obeyed yet") : `obeyed after ${took(obeyed)}`);
  const rest = caused
    ? `received ${took(action.received_after_us)}, decided ${took(action.decided_after_us)}`
    : "from the decision";
  write(item.rest, item.obeyed.textContent ? ` \u00b7 ${rest}` : rest);
}

function alert_(item, alert, now) {
  if (!item.what) {
    item.what = part(item.item, "span", "what");
    item.rule = part(item.what, "b", "");
    item.key = part(item.what, "span", "");
    item.severity = part(item.what, "span", "tag");
    item.mode = part(item.what, "span", "tag");
    item.when = part(item.item, "time", "when");
    item.why = part(item.item, "span", "why");
  }
  item.item.className = alert.state;
  write(item.rule, `${alert.rule} ${alert.state}`);
  write(item.key, ` \u00b7 ${alert.key}`);
  write(item.severity, alert.severity);
  item.severity.classList.toggle("alarmed", alert.severity === "critical" && alert.state === "firing");
  item.mode.hidden = alert.mode !== "shadow";
  write(item.mode, "shadow");
  time(item.when, alert.at, now);
  write(item.why, alert.summary);
}

function list(parent, empty, entries, key, fill, now) {
  empty.hidden = entries.length > 0;
  keep(parent, entries, key, () => ({ item: element("li") }), (item, entry) => fill(item, entry, now));
}

// Orders.

function order(action, scope, target) {
  const meaning = action === "freeze"
    ? "It makes no further model call and no tool call; a call in flight is cut. It stays so until somebody releases it."
    : `What was set for this ${scope} no longer holds. Wider or narrower orders stay in force.`;
  ask({ action, scope, target, meaning }, done);
}

at("freeze-all").addEventListener("click", () => {
  const agents = shown ? shown.totals.agents - shown.totals.frozen : 0;
  const meaning = `Every agent in every workspace stops (${count(agents)} of those shown here), and those that start later too, until somebody releases it.`;
  ask({ action: "freeze", scope: "global", meaning }, done);
});

function done(text) {
  write(said, text);
  // The button that was pressed may be gone by now.
  said.focus();
  refresh();
}

// Small things.

function because(entry, now, named = false) {
  const parts = [allows(entry.parameters), entry.reason, `${ago(entry.since, now)} ${actor(entry.actor)}`];
  if (named) parts.unshift(whom(entry.scope, entry.target));
  return parts.filter(Boolean).join(" \u00b7 ");
}

function element(name) {
  return document.createElement(name);
}

function part(parent, name, style) {
  const child = element(name);
  if (style) child.className = style;
  parent.append(child);
  return child;
}

function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function exact(node, text, figure) {
  write(node, text);
  node.title = figure ? `${figure} USD` : "";
}

function time(node, instant, now) {
  node.dateTime = instant ?? "";
  node.title = instant ?? "";
  write(node, ago(instant, now));
}

// Keeps one child for each entry, in the entries' order, and moves only what has to move.
function keep(parent, entries, key, make, change) {
  parent.kept ??= new Map();
  const gone = new Set(parent.kept.keys());
  let before = parent.firstElementChild;
  for (const entry of entries) {
    const name = key(entry);
    gone.delete(name);
    if (!parent.kept.has(name)) parent.kept.set(name, make());
    const parts = parent.kept.get(name);
    change(parts, entry);
    if (parts.item === before) before = before.nextElementSibling;
    else parent.insertBefore(parts.item, before);
  }
  for (const name of gone) {
    parent.kept.get(name).item.remove();
    parent.kept.delete(name);
  }
}

window_.addEventListener("change", refresh);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refresh();
});
refresh();
