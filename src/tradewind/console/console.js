"use strict";
// The page of a study: asks the server every second for what is new, and draws it. No library, no network.

const EVERY = 1000;
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7a5195", "#b8860b", "#56b4e9", "#444444",
  "#c2185b", "#2f6f4f"];
const MOST_ROWS = 200;
const OPEN = ["running", "waiting", "paused"];
const W = 780, H = 430, LEFT = 66, RIGHT = 30, TOP = 14, BOTTOM = 44;
const $ = (id) => document.getElementById(id);
const token = decodeURIComponent(location.hash.slice(1));

let study = "", sequence = 0, direction = "minimize", epoch = 0;
let trials = new Map();
let chosen = null, armed = 0;
let colours = new Map();

// ---- asking

async function ask(path, order) {
  const headers = token ? { Authorization: "Bearer " + token } : {};
  const options = order === undefined ? { headers } : {
    method: "POST", body: JSON.stringify(order),
    headers: { ...headers, "Content-Type": "application/json" },
  };
  const answer = await fetch(path, options);
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.error ? told.error.message : answer.statusText);
  return told;
}

async function begin() {
  try {
    const told = await ask("/api/studies");
    const picked = study || told.first;
    $("study").replaceChildren(...told.studies.map((each) => {
      const option = element("option", each.name);
      option.value = each.name;
      option.selected = each.name === picked;
      return option;
    }));
    if (picked) choose(picked);
  } catch (problem) {
    alive(problem.message);
  }
  follow();
}

function choose(name) {
  study = name;
  document.title = name + " – Tradewind";
  forget();
}

function forget() {
  sequence = 0;
  epoch += 1;
  trials = new Map();
  chosen = null;
}

async function follow() {
  const mine = epoch;
  try {
    if (!study) await beginAgain();
    if (study) {
      const told = await ask("/api/study?study=" + encodeURIComponent(study) + "&after=" + sequence);
      if (mine === epoch) take(told);
    }
  } catch (problem) {
    alive("not answering: " + problem.message);
  }
  setTimeout(follow, EVERY);
}

async function beginAgain() {
  const told = await ask("/api/studies");
  if (told.first) {
    $("study").replaceChildren(...told.studies.map((each) => element("option", each.name)));
    choose(told.first);
  } else {
    alive("no study yet");
  }
}

function take(told) {
  if (told.fresh) trials = new Map();
  sequence = told.sequence;
  direction = told.direction;
  for (const each of told.trials) {
    const before = trials.get(each.number);
    each.points = (before ? before.points : []).concat(each.points);
    each.points.sort((a, b) => a[0] - b[0]);
    trials.set(each.number, each);
  }
  $("dollars").textContent = money(told.dollars);
  $("rate").textContent = money(told.dollars_per_second);
  $("workers").textContent = told.workers;
  $("states").replaceChildren(...Object.entries(told.states).map(([state, count]) =>
    element("span", count + " " + state, "tag " + state)));
  $("kill-all").disabled = !OPEN.some((state) => told.states[state]);
  alive("live");
  if (told.fresh || told.trials.length) draw();
}

function alive(text) {
  if ($("alive").textContent !== text) $("alive").textContent = text;
}

// ---- what a trial is worth

function worth(trial) {
  if (trial.state === "completed" && trial.final !== null) return trial.final;
  for (let at = trial.points.length - 1; at >= 0; at--) {
    if (trial.points[at][3] !== null) return trial.points[at][3];
  }
  return null;
}

function objective() {
  return direction === "maximize" ? "value" : "loss";
}

function ranked() {
  const sign = direction === "maximize" ? -1 : 1;
  return [...trials.values()]
    .filter((each) => worth(each) !== null && each.state !== "failed")
    .sort((a, b) => sign * (worth(a) - worth(b)) || a.number - b.number);
}

function shown() {
  const which = document.querySelector("input[name=which]:checked").value;
  if (which === "best") return ranked().slice(0, 5);
  if (which === "worst") return ranked().slice(-5).reverse();
  return [...trials.values()];
}

function updates(trial) {
  // Points of [seconds, updates per second], each over the stretch since the one before.
  const found = [];
  for (let at = 1; at < trial.points.length; at++) {
    const [step, seconds] = trial.points[at], [before, then] = trial.points[at - 1];
    if (seconds > then) found.push([seconds, (step - before) / (seconds - then)]);
  }
  return found;
}

function line(trial) {
  const chart = $("chart").value;
  if (chart === "updates") return updates(trial);
  const x = chart === "time" ? 1 : 2;
  return trial.points.filter((point) => point[3] !== null).map((point) => [point[x], point[3]]);
}

// ---- drawing

function colour(number) {
  return COLOURS[colours.get(number) ?? number % COLOURS.length];
}

function paint() {
  // A trial keeps its colour, unless of a few that are shown another one has it.
  colours = new Map();
  const few = shown();
  if (few.length > COLOURS.length) return;
  const taken = new Set();
  for (const number of few.map((each) => each.number).sort((a, b) => a - b)) {
    let at = number % COLOURS.length;
    while (taken.has(at)) at = (at + 1) % COLOURS.length;
    taken.add(at);
    colours.set(number, at);
  }
}

function draw() {
  paint();
  const best = ranked()[0];
  $("best").textContent = best ? number(worth(best)) : "–";
  $("best-of").textContent = best ? "best, of trial " + best.number : "best";
  const name = direction === "maximize" ? "Value" : "Loss";
  $("chart").options[0].textContent = name + " against time";
  $("chart").options[1].textContent = name + " against dollars";
  drawPlot();
  drawTable();
  drawChosen();
}

function drawPlot() {
  const chart = $("chart").value, lines = shown().map((trial) => [trial, line(trial)]);
  const points = lines.flatMap(([, each]) => each);
  const positive = points.filter((point) => point[1] > 0);
  const log = $("log").checked && positive.length > 0;
  const ys = (log ? positive : points).map((point) => log ? Math.log10(point[1]) : point[1]);
  const xs = points.map((point) => point[0]);
  if (chart === "updates" && !log && ys.length) ys.push(0);
  const most = Math.max(...xs, 1e-9);
  const unit = chart === "dollars" || most < 120 ? 1 : most < 7200 ? 60 : 3600;
  const xTicks = ticks(Math.min(0, ...xs) / unit, most / unit).map((each) => each * unit);
  const yTicks = ys.length ? ticks(Math.min(...ys), Math.max(...ys)) : [0, 1];
  const x0 = xTicks[0], x1 = Math.max(xTicks.at(-1), Math.max(...xs, -Infinity));
  const y0 = Math.min(yTicks[0], ...ys), y1 = Math.max(yTicks.at(-1), ...ys);
  const x = (value) => LEFT + (value - x0) / (x1 - x0 || 1) * (W - LEFT - RIGHT);
  const y = (value) => H - BOTTOM - (value - y0) / (y1 - y0 || 1) * (H - TOP - BOTTOM);
  const parts = [];
  for (const tick of yTicks) {
    parts.push(shape("line", { class: "grid", x1: LEFT, x2: W - RIGHT, y1: y(tick), y2: y(tick) }));
    parts.push(words(log ? number(10 ** tick) : number(tick), LEFT - 8, y(tick) + 4, "end"));
  }
  for (const tick of xTicks) {
    parts.push(words(chart === "dollars" ? money(tick) : duration(tick), x(tick), H - BOTTOM + 18, "middle"));
  }
  parts.push(shape("line", { class: "axis", x1: LEFT, x2: W - RIGHT, y1: H - BOTTOM, y2: H - BOTTOM }));
  const under = chart === "dollars" ? "dollars spent on the trial" : "time of the trial";
  parts.push(words(under, (LEFT + W - RIGHT) / 2, H - 6, "middle"));
  const focused = document.activeElement && document.activeElement.dataset.trial;
  for (const [trial, each] of lines) {
    const seen = each.filter((point) => !log || point[1] > 0)
      .map((point) => [x(point[0]), y(log ? Math.log10(point[1]) : point[1])]);
    if (seen.length) parts.push(curve(trial, seen));
  }
  $("plot").replaceChildren(...parts);
  if (focused !== undefined && $("plot").querySelector(`[data-trial="${focused}"]`)) {
    $("plot").querySelector(`[data-trial="${focused}"]`).focus();
  }
  const what = chart === "updates" ? "updates per second" : objective();
  $("said").textContent = points.length ? what + " of " + $("plot").querySelectorAll(".curve").length + " of " + trials.size + " trials; "
    + "dashed lines are over" : "nothing is reported yet";
}

function curve(trial, seen) {
  const over = OPEN.includes(trial.state) ? "" : " over";
  const group = shape("g", {
    class: "curve" + over + (trial.number === chosen ? " chosen" : ""), tabindex: 0, role: "button",
    "data-trial": trial.number, "data-points": seen.length,
    "aria-label": "trial " + trial.number + ", " + trial.state + ", " + number(worth(trial)),
  });
  const path = seen.length > 1 ? "M" + seen.map((point) => point.map((v) => v.toFixed(1)).join(",")).join("L")
    : `M${seen[0][0] - 3},${seen[0][1]}h6`;
  const [endX, endY] = seen.at(-1);
  group.append(
    shape("path", { class: "hit", d: path }),
    shape("path", { class: "seen", d: path, stroke: colour(trial.number) }),
    shape("circle", { cx: endX, cy: endY, r: trial.state === "running" ? 4 : 2.5, fill: colour(trial.number) }),
  );
  const title = shape("title", {});
  title.textContent = "trial " + trial.number + ": " + said(trial.setting);
  group.append(title);
  return group;
}

function drawTable() {
  const all = [...trials.values()];
  const names = [...new Set(all.flatMap((each) => Object.keys(each.setting)))];
  const heads = ["trial", "state", objective(), "dollars", "time", "updates", ...names];
  const head = element("tr");
  heads.forEach((name, at) => {
    const cell = element("th", name, at > 1 ? "n" : "");
    cell.scope = "col";
    head.append(cell);
  });
  const focused = document.activeElement && document.activeElement.dataset.row;
  const listed = shownInTable(all);
  $("more").textContent = listed.length > MOST_ROWS ? "and " + (listed.length - MOST_ROWS) + " more" : "";
  const rows = listed.slice(0, MOST_ROWS).map((trial) => {
    const row = element("tr", "", trial.number === chosen ? "chosen" : "");
    const button = element("button", String(trial.number));
    button.type = "button";
    button.dataset.row = trial.number;
    button.setAttribute("aria-label", "choose trial " + trial.number);
    const first = element("td");
    first.append(swatch(trial.number), button);
    const state = element("td");
    state.append(tag(trial));
    const last = trial.points.at(-1);
    row.append(first, state, element("td", number(worth(trial)), "n"),
      element("td", money(trial.dollars), "n"),
      element("td", duration(trial.seconds), "n"), element("td", last ? String(last[0]) : "", "n"),
      ...names.map((name) =>
        element("td", name in trial.setting ? value(trial.setting[name]) : "", "n")));
    row.dataset.trial = trial.number;
    return row;
  });
  $("trials").tHead.replaceChildren(head);
  $("trials").tBodies[0].replaceChildren(...rows);
  if (focused !== undefined) {
    const again = $("trials").querySelector(`[data-row="${focused}"]`);
    if (again) again.focus();
  }
}

function shownInTable(all) {
  const which = document.querySelector("input[name=which]:checked").value;
  if (which !== "all") return shown();
  const order = new Map(ranked().map((each, at) => [each.number, at]));
  const place = (trial) => order.get(trial.number) ?? 1e9;
  return all.sort((a, b) => place(a) - place(b) || a.number - b.number);
}

function drawChosen() {
  // The button stays the same node, so that a click is not lost to a redrawing in its midst.
  const trial = trials.get(chosen);
  for (const id of ["about", "kill"]) $(id).hidden = !trial;
  $("nobody").hidden = Boolean(trial);
  $("chosen-title").replaceChildren();
  if (!trial) return;
  $("chosen-title").append(element("span", "Trial " + trial.number), tag(trial));
  const rows = [element("dt", "Parameters", "kind")];
  const add = (name, text) => rows.push(element("dt", name), element("dd", text));
  for (const [name, each] of Object.entries(trial.setting)) add(name, value(each));
  rows.push(element("dt", "So far", "kind"));
  add(objective(), number(worth(trial)));
  add("spent", money(trial.dollars));
  add("time", duration(trial.seconds));
  const lately = updates(trial).at(-1);
  if (lately) add("updates a second", number(lately[1]));
  if (trial.quality) add("quality", trial.quality);
  if (trial.machine) add("machine", trial.machine);
  if (trial.revocations) add("revocations", String(trial.revocations));
  if (trial.attempt > 1) add("attempts", String(trial.attempt));
  if (trial.reason) add("why", trial.reason);
  $("about").replaceChildren(...rows);
  const wanted = trial.stop_wanted && OPEN.includes(trial.state);
  $("kill").disabled = Boolean(wanted) || !OPEN.includes(trial.state);
  const label = wanted ? "Stopping…" : "Kill";
  if ($("kill").textContent !== label) $("kill").textContent = label;
}

function select(number) {
  chosen = number;
  draw();
}

// ---- killing

async function kill(number) {
  const trial = trials.get(number);
  if (trial) trial.stop_wanted = "it was killed in the console";
  draw();
  try {
    await ask("/api/kill", { study, number });
  } catch (problem) {
    alive(problem.message);
  }
}

async function killAll() {
  const button = $("kill-all");
  if (!armed) {
    const count = [...trials.values()].filter((each) => OPEN.includes(each.state)).length;
    button.textContent = "Really kill " + count + (count === 1 ? " trial?" : " trials?");
    armed = setTimeout(disarm, 4000);
    return;
  }
  disarm();
  try {
    await ask("/api/kill", { study });
  } catch (problem) {
    alive(problem.message);
  }
}

function disarm() {
  clearTimeout(armed);
  armed = 0;
  $("kill-all").textContent = "Kill all";
}

// ---- words and shapes

function element(name, text = "", kind = "") {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function shape(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, each] of Object.entries(attributes)) made.setAttribute(key, each);
  return made;
}

function words(text, x, y, anchor) {
  const made = shape("text", { x, y, "text-anchor": anchor });
  made.textContent = text;
  return made;
}

function swatch(trial) {
  const made = shape("svg", { class: "swatch", viewBox: "0 0 14 4", "aria-hidden": "true" });
  made.append(shape("rect", { width: 14, height: 4, rx: 2, fill: colour(trial) }));
  return made;
}

function tag(trial) {
  const stopping = trial.stop_wanted && OPEN.includes(trial.state);
  const state = stopping ? "stopping" : trial.state;
  return element("span", state, "tag " + state);
}

function ticks(low, high) {
  if (!(high > low)) return [low - Math.abs(low || 1) * 0.1, low, low + Math.abs(low || 1) * 0.1];
  const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
  const found = [];
  for (let at = Math.floor(low / step); at * step <= high + step * 1e-9; at++) found.push(at * step);
  return found;
}

function number(value) {
  if (value === null || value === undefined) return "–";
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6)) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
}

function money(value) {
  if (value === 0) return "$0";
  if (Math.abs(value) >= 0.995) return "$" + value.toFixed(2);
  return "$" + (Math.abs(value) < 1e-3 ? value.toExponential(1) : Number(value.toPrecision(3)));
}

function duration(seconds) {
  if (seconds < 120) return number(Number(seconds.toFixed(1))) + " s";
  if (seconds < 7200) return number(Number((seconds / 60).toFixed(1))) + " min";
  return number(Number((seconds / 3600).toFixed(1))) + " h";
}

function value(each) {
  return typeof each === "number" ? number(each) : String(each);
}

function said(setting) {
  return Object.entries(setting).map(([name, each]) => name + " " + value(each)).join(", ");
}

$("study").addEventListener("change", (event) => {
  choose(event.target.value);
  draw();
});
$("chart").addEventListener("change", draw);
$("log").addEventListener("change", draw);
$("which").addEventListener("change", draw);
// Lines and rows are drawn anew all the time: who presses one means it then, not when the button goes up.
for (const place of [$("plot"), $("trials").tBodies[0]]) {
  const pressed = (event) => {
    const found = event.target.closest("[data-trial]");
    if (found) select(Number(found.dataset.trial));
  };
  place.addEventListener("pointerdown", pressed);
  place.addEventListener("click", pressed);
  place.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    pressed(event);
  });
}
$("kill").addEventListener("click", () => kill(chosen));
$("kill-all").addEventListener("click", killAll);
begin();
