// The page itself: which sections there are, colours, paper, and what is newer while a campaign runs.
"use strict";

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
  fill(
    "distribution",
    some
      ? [
          subjectChoice(),
          chart("boxes", "Runs, quartiles and intervals", (colours) => boxes(report, colours)),
          chart("ecdf", "Cumulative distribution", (colours) => ecdf(report, colours)),
        ]
      : null,
  );
  fill("parameters", some ? parameters() : null);
  fill("search", some && subject.rows.length > 2 ? search() : null);
  fill("scaling", some ? scalings() : null);
  listSections();
}

function listSections() {
  const shown = [...document.querySelectorAll("main > section")].filter((section) => !section.hidden);
  $("sections").replaceChildren(
    ...shown.map((section) => h("li", {}, h("a", { href: `#${section.id}` }, section.querySelector("h2").textContent))),
  );
}

function sayState(problem) {
  const { data } = report;
  const [began] = extent(data.journals.flatMap(({ sessions }) => sessions.map(({ started_unix_s }) => started_unix_s)));
  const words = [
    finite(began) ? moment(began) : null,
    data.running ? "still running" : null,
    data.state ? `refreshed ${moment(Date.now() / 1000)}` : data.running ? `as of ${moment(data.written_unix_s)}` : null,
    problem,
  ];
  $("state").textContent = words.filter(Boolean).join(" · ");
}

const THEMES = ["auto", "light", "dark"];

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").textContent = { auto: "◐ auto", light: "○ light", dark: "● dark" }[theme];
  redraw();
}

function rememberedTheme() {
  try {
    return localStorage.getItem("harness report theme");
  } catch {
    return null;
  } // pages of some browsers have no memory
}

$("theme").addEventListener("click", () => {
  const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
  try {
    localStorage.setItem("harness report theme", next);
  } catch {
    /* then it is forgotten */
  }
  setTheme(next);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw());
addEventListener("beforeprint", () => {
  document.documentElement.dataset.paper = "";
  drawAll();
});
addEventListener("afterprint", () => {
  delete document.documentElement.dataset.paper;
  redraw();
});

/** Takes new data in: choices stay where they still make sense. */
function take(data) {
  const before = { ...report };
  const chosen = new Set([...(before.chosen ?? [])].map(({ id }) => id));
  const bases = new Set((before.subjects ?? []).flatMap((subject) => [...subject.bases.values()].map((base) => base?.id)));
  Object.assign(report, prepare(data));
  report.chosen = new Set(data.measurements.filter(({ id }) => chosen.has(id)));
  for (const subject of report.subjects)
    for (const row of subject.ok) if (bases.has(row.id)) subject.bases.set(row.script, row);
  report.subject =
    report.subjects.find(({ name, metric, ok }) => ok.length && name === before.subject?.name && metric === before.subject?.metric) ??
    report.subject;
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
