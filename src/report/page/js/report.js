// The page: its sections from the data, colours, paper, and what is newer while a campaign runs.
"use strict";

const NAMES_AT_FIRST = 12;
const COMPARISONS_AT_FIRST = 6;
const report = {};

/** The body of a section; hides the section where there is nothing to say. */
function fill(id, ...content) {
  const section = $(id);
  const body = section.querySelector(".body");
  forgetAll(body);
  section.hidden = content.flat().filter(Boolean).length === 0;
  body.replaceChildren(...content.flat().filter(Boolean));
}

function drawPage() {
  const { data } = report;
  const first = data.journals[0];
  $("title").textContent = data.journals.length === 1 ? first.script : `${data.journals.length} campaigns`;
  document.title = `${$("title").textContent} – harness report`;
  $("foot").textContent = `Written by harness ${data.version} at ${moment(data.written_unix_s)}. Charts by Apache ECharts (Apache-2.0).`;
  sayState();
  fill("summary", summary());
  fill("comparisons", comparisons());
  fill("failures", failures());
  fill("results", data.measurements.length ? resultTable(report, onchosen) : null);
  fill("timeline", timelines());
  fill("flags", flagTable());
  fill("environment", environment());
  drawSubject();
}

/** What is about the measurements of one name. */
function drawSubject() {
  const { subject } = report;
  const some = subject && subject.ok.length > 0;
  fill("distribution", some ? [subjectChoice(), chart("boxes", "Runs, quartiles and intervals", (colours) => boxes(report, colours)), chart("ecdf", "Cumulative distribution", (colours) => ecdf(report, colours))] : null);
  fill("parameters", some ? parameters() : null);
  fill("search", some && subject.rows.length > 2 ? search() : null);
  fill("scaling", some ? scalings() : null);
  listSections();
}

function listSections() {
  const shown = [...document.querySelectorAll("main > section")].filter((section) => !section.hidden);
  $("sections").replaceChildren(...shown.map((section) => h("li", {}, h("a", { href: `#${section.id}` }, section.querySelector("h2").textContent))));
}

function sayState(problem) {
  const { data } = report;
  const [began] = extent(data.journals.flatMap(({ sessions }) => sessions.map(({ started_unix_s }) => started_unix_s)));
  const words = [finite(began) ? moment(began) : null, data.running ? "still running" : null, data.state ? `refreshed ${moment(Date.now() / 1000)}` : data.running ? `as of ${moment(data.written_unix_s)}` : null, problem];
  $("state").textContent = words.filter(Boolean).join(" · ");
}

// Summary

function summary() {
  const { data, subjects } = report;
  const ended = {};
  for (const journal of data.journals) for (const [status, n] of Object.entries(journal.ended)) ended[status] = (ended[status] || 0) + n;
  const total = Object.values(ended).reduce((sum, n) => sum + n, 0);
  const hosts = [...new Set(data.tasks.flatMap((task) => task.hosts))];
  const [from, to] = extent(data.tasks.flatMap((task) => [task.from, task.to]));
  const facts = [
    count(total, "task") + (total ? `: ${Object.entries(ended).sort((a, b) => b[1] - a[1]).map(([status, n]) => `${n.toLocaleString("en")} ${status}`).join(", ")}` : ""),
    hosts.length ? `${hosts.length > 3 ? count(hosts.length, "node") : hosts.join(", ")}` : null,
    finite(from) ? `${moment(from)}, ${duration(to - from)}` : null,
  ].filter(Boolean);
  return [h("p", { class: "lead" }, facts.join(" · ")), subjects.some((subject) => subject.best) ? bestOfEach() : h("p", {}, "No measurement has a figure."), h("div", { class: "cards" }, failureCard(), doubtCard())];
}

function bestOfEach() {
  const { data, subjects } = report;
  const measured = subjects.filter((subject) => subject.best);
  const shown = report.allNames ? measured : measured.slice(0, NAMES_AT_FIRST);
  const more = measured.length > shown.length ? h("button", { type: "button", onclick: () => { report.allNames = true; fill("summary", summary()); listSections(); } }, `and ${measured.length - shown.length} more names`) : null;
  const columns = [text("name"), text("best"), number("median"), number("95 % interval"), number("n"), number("speed-up"), text("over its base"), text("confirmed?"), text("doubts")];
  const rows = shown.map((subject) => {
    const { best, base } = subject;
    const sure = confirmed(best, data.comparisons);
    const alone = subject.ok.length === 1;
    const others = tied(best);
    const doubts = [...flagMarks(best.flags, data.flags), others ? h("span", { class: "note", title: "their intervals overlap with its own" }, `not told from ${count(others, "other")}`) : null, best.stats.lo === undefined ? h("span", { class: "note" }, "n < 7") : null];
    return [
      h("span", {}, subject.name, h("small", { class: "line" }, subject.metric), h("small", { class: "line" }, direction(subject))),
      best.variant || "–", h("strong", {}, figure(best.stats.median, best.unit)), interval(best.stats, best.unit), String(best.stats.n),
      alone ? "–" : speedupText(best, base),
      alone ? "nothing to compare with" : h("span", {}, base === best ? "itself" : inFull(base.stats, base.unit), h("small", {}, base.variant || base.name)),
      alone ? "–" : h("span", { class: sure.sure === true ? "good" : sure.sure === false ? "bad" : "unsure", title: sure.next }, sure.word, h("small", {}, sure.why)),
      doubts.some(Boolean) ? doubts : "none",
    ];
  });
  return h("div", {}, table("The best of each name", columns, rows, { class: "best" }), more);
}

function failureCard() {
  const ways = report.data.failures;
  if (ways.length === 0) return h("div", { class: "card" }, h("h3", {}, "Failures"), h("p", { class: "good" }, "none"));
  const total = ways.reduce((sum, way) => sum + way.count, 0);
  return h("div", { class: "card" }, h("h3", {}, h("a", { href: "#failures" }, count(total, "failure"))),
    h("ul", {}, ways.slice(0, 4).map((way) => h("li", {}, h("span", { class: "bad" }, `${way.count}× ${way.kind} ${way.status}`), ` ${short(way.text.replace(`${way.status}: `, ""), 140)}`))),
    ways.length > 4 ? h("p", {}, h("a", { href: "#failures" }, `and ${ways.length - 4} other ways`)) : null);
}

/** How many measurements have each flag, those of most first. */
function flagCounts() {
  const all = [...report.data.measurements, ...report.data.comparisons.flatMap(({ variants }) => variants)];
  const counts = grouped(all.flatMap((row) => row.flags.map((flag) => flag.replace(/:\d+$/, ""))), (flag) => flag);
  return [...counts].map(([flag, list]) => [flag, list.length]).sort((a, b) => b[1] - a[1]);
}

function doubtCard() {
  const counts = flagCounts();
  if (counts.length === 0) return h("div", { class: "card" }, h("h3", {}, "Doubts"), h("p", { class: "good" }, "no flags"));
  return h("div", { class: "card" }, h("h3", {}, h("a", { href: "#flags" }, "Doubts")),
    h("ul", {}, counts.slice(0, 5).map(([flag, n]) => h("li", {}, h("span", { class: "flag" }, flag), ` ${n.toLocaleString("en")}× `, h("span", { class: "muted" }, short(meaning(flag, report.data.flags)?.means ?? "", 90))))));
}

// Sections of text and tables

function comparisons() {
  const { data } = report;
  if (data.comparisons.length === 0) return null;
  const shown = report.allComparisons ? data.comparisons : data.comparisons.slice(0, COMPARISONS_AT_FIRST);
  const more = data.comparisons.length > shown.length ? h("button", { type: "button", onclick: () => { report.allComparisons = true; fill("comparisons", comparisons()); } }, `and ${data.comparisons.length - shown.length} more`) : null;
  return [...shown.map(comparison), more];
}

function comparison(found, at) {
  const [base] = found.variants;
  const columns = [text("variant"), text("verdict"), number("ratio"), number("95 % interval"), number("rounds"), number("median"), number("95 % interval of it"), number("n"), text("flags")];
  const rows = found.variants.map((variant) => [
    variant.name, variant.status !== "ok" ? h("span", { class: "bad" }, `${variant.status}: ${variant.reason ?? ""}`) : variant === base ? "the base" : h("span", { class: { faster: "good", slower: "bad" }[variant.verdict] ?? "unsure" }, (variant.verdict ?? "–").replaceAll("_", " ")),
    finite(variant.ratio) ? `${variant.ratio.toFixed(3)}×` : "–", variant.ci ? `[${variant.ci.lo.toFixed(3)}, ${variant.ci.hi.toFixed(3)}]` : variant === base || !finite(variant.ratio) ? "–" : "too few rounds", variant.rounds === undefined ? "–" : String(variant.rounds),
    variant.stats ? figure(variant.stats.median, variant.unit) : "–", variant.stats ? interval(variant.stats, variant.unit) : "–", variant.stats ? String(variant.stats.n) : "–", flagMarks(variant.flags, report.data.flags),
  ]);
  const says = [`${count(found.rounds, "round")} on ${found.host || "no node"}, ended ${found.stop}`, base ? `${base.metric}, ${better(base.better)}` : null, `a difference of ${(100 * found.min_effect).toFixed(1)} % matters`].filter(Boolean).join(" · ");
  const drawable = found.variants.some(({ ratio }) => finite(ratio));
  return h("article", {}, h("h3", {}, found.name), h("p", { class: "says" }, says), found.failure ? h("p", { class: "bad" }, found.failure) : null, table(`Comparison ${found.name}`, columns, rows), drawable ? chart(`ratios-${at}`, `Ratios of ${found.name}`, (colours) => ratios(found, colours)) : null);
}

function failures() {
  const ways = report.data.failures;
  if (ways.length === 0) return null;
  const columns = [text("what"), number("how often"), text("which"), text("where"), text("why")];
  const rows = ways.map((way) => {
    const long = way.reason.length > way.text.length || way.reason.includes("\n");
    return [
      h("span", {}, way.kind, h("small", { class: "bad" }, way.status), way.followed ? h("small", {}, "followed from another") : null), String(way.count),
      way.named.join(", ") + (way.count > way.named.length && way.named.length ? " …" : ""), way.hosts.join(", "),
      h("div", { class: "why" }, way.text.replace(`${way.status}: `, ""), long ? h("details", {}, h("summary", {}, "in full"), h("pre", {}, way.reason)) : null),
    ];
  });
  return table("Failures by reason", columns, rows, { class: "wide" });
}

function flagTable() {
  const counts = flagCounts();
  if (counts.length === 0) return null;
  const rows = counts.map(([flag, n]) => { const found = meaning(flag, report.data.flags); return [h("span", { class: "flag" }, flag), n.toLocaleString("en"), found?.means ?? "–", found?.do ?? "–"]; });
  return [h("p", { class: "says" }, "Flags say what to know before believing a figure. They remove nothing: every sample is kept."), table("Flags", [text("flag"), number("how often"), text("it means"), text("do")], rows, { class: "wide" })];
}

function environment() {
  const { data } = report;
  const sessions = data.journals.flatMap((journal) => journal.sessions.map((session) => [moment(session.started_unix_s), session.host, session.job ? `${session.job.scheduler} ${session.job.id}` : "–", session.version, (session.script_hash ?? "–").slice(0, 12), journal.script]));
  const provenance = data.journals.map((journal) => [journal.script, journal.path, journal.seed === null ? "–" : String(journal.seed), [...new Set(data.measurements.filter((row) => data.journals[row.journal] === journal).flatMap((row) => row.facts.filter(([label]) => label === "git").map(([, commit]) => commit)))].join(", ") || "–"]);
  const labels = { host: "node", cpu_model: "processor", microcode: "microcode", sockets: "sockets", cores: "cores", kernel: "kernel", libc: "C library", governor: "governor", boost: "boost", smt: "SMT", aslr: "ASLR", thp: "huge pages", numa_balancing: "NUMA balancing", load1: "load at the start", swap_used_bytes: "swap in use", cgroup_cpu_max: "CPU limit", modules: "modules", slurm: "Slurm", gpu: "GPU", mpi: "MPI", cmdline: "kernel's arguments" };
  const say = (value) => (value === null || value === undefined ? "–" : Array.isArray(value) ? value.join(" ") || "none" : typeof value === "object" ? Object.entries(value).map(([name, item]) => `${name} ${item}`).join(", ") : typeof value === "boolean" ? (value ? "on" : "off") : String(value));
  const known = Object.keys(labels).filter((field) => data.envs.some((env) => env[field] !== null && env[field] !== undefined));
  const nodes = data.envs.length ? table("Nodes", [text(""), ...data.envs.map((env) => text(env.host ?? "?"))], known.map((field) => [labels[field], ...data.envs.map((env) => say(env[field]))]), { class: "envs" }) : h("p", {}, "No node told of itself.");
  return [
    h("h3", {}, "Runs of the script"), table("Runs of the script", [text("began"), text("root on"), text("job"), text("harness"), text("script's hash"), text("script")], sessions),
    h("h3", {}, "Provenance"), table("Provenance", [text("script"), text("journal"), text("seed"), text("git commit")], provenance),
    h("h3", {}, "Nodes"), nodes,
  ];
}

// Sections of charts

function subjectChoice() {
  const { subjects, subject } = report;
  const measured = subjects.filter(({ ok }) => ok.length > 0);
  const names = measured.length > 1 ? choice("measurements of", measured.map((other, at) => [at, `${other.name} (${other.metric})`]), measured.indexOf(subject), (at) => { report.subject = measured[at]; drawSubject(); $("distribution").querySelector("select").focus(); }) : null;
  const bases = subject.ok.length > 1 ? choice("base of speed-ups", sampled(subject.inOrder.filter((row) => row.ok), 300).map((row) => [row.index, `${short(row.label, 60)}: ${figure(row.stats.median, row.unit)}`]), subject.base?.index, (index) => { subject.base = report.data.measurements[index]; drawPage(); }) : null;
  return names || bases ? h("div", { class: "controls" }, names, bases) : null;
}

function parameters() {
  const { subject } = report;
  const { dimensions } = subject;
  if (dimensions.length === 0) return null;
  const names = dimensions.map(({ name }) => [name, name]);
  const named = (name, otherwise) => dimensions.find((dimension) => dimension.name === name) || otherwise;
  const picked = subject.picked ??= { one: dimensions[0].name, across: dimensions[0].name, down: dimensions[1]?.name };
  const pick = (label, field, id) => choice(label, names, picked[field], (name) => { picked[field] = name; redraw([id]); });
  const charts = [];
  if (dimensions.length > 1) charts.push(chart("heat", "Two parameters", (colours) => heat(report, named(picked.across), named(picked.down), colours), dimensions.length > 2 ? [pick("across", "across", "heat"), pick("down", "down", "heat")] : []));
  charts.push(chart("effect", "One parameter", (colours) => effect(report, named(picked.one), colours), dimensions.length > 1 ? [pick("parameter", "one", "effect")] : []));
  if (dimensions.length > 2) charts.push(chart("parallel", "All parameters", (colours) => parallel(report, colours)));
  return charts;
}

function search() {
  const ways = [["order", "by number"], ["time", "by time"]];
  return chart("trajectory", "Best so far", (colours) => trajectory(report, report.byTime === true, colours), [choice("along", ways, report.byTime ? "time" : "order", (way) => { report.byTime = way === "time"; redraw(["trajectory"]); })]);
}

function scalings() {
  const { subject } = report;
  const over = parallelism(subject);
  if (!over) return null;
  const { grows, series } = scalingSeries(subject, over);
  if (series.length === 0) return null;
  subject.weak ??= grows;
  const ways = [["strong", "is the same"], ["weak", "grows with it"]];
  return chart("scaling", `Over ${over.name}`, (colours) => scaling(report, over, subject.weak, colours), [choice("the work", ways, subject.weak ? "weak" : "strong", (way) => { subject.weak = way === "weak"; redraw(["scaling"]); })]);
}

/** Sessions may be days apart: one at a time. */
function timelines() {
  const { data } = report;
  if (data.tasks.length === 0) return null;
  const sessions = data.journals.flatMap((journal, at) => journal.sessions.map((session, number) => ({ at, from: session.started_unix_s, until: journal.sessions[number + 1]?.started_unix_s ?? Infinity, name: `${journal.script}, ${moment(session.started_unix_s)}` })));
  const of = ({ at, from, until }) => data.tasks.filter((task) => task.journal === at && task.from >= from && task.from < until);
  const busy = sessions.map((session) => ({ session, tasks: of(session) })).filter(({ tasks }) => tasks.length > 0);
  if (busy.length === 0) return null;
  for (const { tasks } of busy) for (const task of tasks) task.lanes = task.hosts.map((host) => (task.hosts.length > 1 || task.worker === undefined ? host : `${host} · worker ${task.worker}`));
  const fullest = busy.reduce((a, b) => (b.tasks.length >= a.tasks.length ? b : a));
  report.session ??= busy.indexOf(fullest);
  const tasks = () => (busy[report.session] || fullest).tasks;
  return chart("timeline", "Who ran what, where, when", (colours) => timeline(tasks(), colours), busy.length > 1 ? [choice("run of the script", busy.map(({ session, tasks: all }, at) => [at, `${session.name}: ${count(all.length, "task")}`]), report.session, (at) => { report.session = Number(at); redraw(["timeline"]); })] : []);
}

function onchosen(row) {
  if (row.subject === report.subject) return redraw(["boxes", "ecdf"]);
  report.subject = row.subject;
  return drawSubject();
}

// Colours

const THEMES = ["auto", "light", "dark"];

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").textContent = { auto: "◐ auto", light: "○ light", dark: "● dark" }[theme];
  redraw();
}

function rememberedTheme() {
  try { return localStorage.getItem("harness report theme"); } catch { return null; } // pages of some browsers have no memory
}

$("theme").addEventListener("click", () => {
  const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
  try { localStorage.setItem("harness report theme", next); } catch { /* then it is forgotten */ }
  setTheme(next);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw());
addEventListener("beforeprint", () => { document.documentElement.dataset.paper = ""; drawAll(); });
addEventListener("afterprint", () => { delete document.documentElement.dataset.paper; redraw(); });

// What is newer

/** Takes new data in: choices stay where they still make sense. */
function take(data) {
  const before = { ...report };
  const chosen = new Set([...(before.chosen ?? [])].map(({ id }) => id));
  const bases = new Map((before.subjects ?? []).map(({ name, metric, base }) => [`${name}\n${metric}`, base?.id]));
  Object.assign(report, prepare(data));
  report.chosen = new Set(data.measurements.filter(({ id }) => chosen.has(id)));
  for (const subject of report.subjects) subject.base = subject.ok.find(({ id }) => id === bases.get(`${subject.name}\n${subject.metric}`)) ?? subject.base;
  report.subject = report.subjects.find(({ name, metric, ok }) => ok.length && name === before.subject?.name && metric === before.subject?.metric) ?? report.subject;
  if (before.data) report.session = undefined;
  const [place, focus] = [scrollY, document.activeElement?.id];
  drawPage();
  if (before.data) scrollTo(0, place);
  if (focus) $(focus)?.focus();
}

/** Asks the server that this page came from, ever more rarely where answers take long. */
async function follow() {
  const began = performance.now();
  try {
    const answer = await fetch(`data${location.search}&since=${encodeURIComponent(report.data.state)}`, { cache: "no-store" });
    if (answer.status === 200) take(await answer.json());
    else if (answer.status !== 204) throw new Error(await answer.text());
    sayState();
  } catch (error) {
    sayState(`no news: ${error.message}`);
  }
  setTimeout(follow, Math.max(3000, 10 * (performance.now() - began)));
}

setTheme(THEMES.includes(rememberedTheme()) ? rememberedTheme() : "auto");
take(JSON.parse($("data").textContent));
if (report.data.state) setTimeout(follow, 3000);
document.documentElement.dataset.ready = "";
