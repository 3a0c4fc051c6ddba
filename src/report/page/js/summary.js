// What a tired reader looks for first: what is best, whether that is sure, what failed, what is in doubt.
"use strict";

const NAMES_AT_FIRST = 12;

function summary() {
  const { data, subjects } = report;
  const ended = {};
  for (const journal of data.journals) for (const [status, n] of Object.entries(journal.ended)) ended[status] = (ended[status] || 0) + n;
  const outdated = data.journals.reduce((sum, journal) => sum + journal.outdated, 0);
  const total = Object.values(ended).reduce((sum, n) => sum + n, 0);
  const hosts = [...new Set(data.tasks.flatMap((task) => task.hosts))];
  const [from, to] = extent(data.tasks.flatMap((task) => [task.from, task.to]));
  const facts = [
    count(total, "task") +
      (total
        ? `: ${Object.entries(ended)
            .sort((a, b) => b[1] - a[1])
            .map(([status, n]) => `${n.toLocaleString("en")} ${status}`)
            .join(", ")}`
        : ""),
    hosts.length ? `${hosts.length > 3 ? count(hosts.length, "node") : hosts.join(", ")}` : null,
    finite(from) ? `${moment(from)}, ${duration(to - from)}` : null,
    outdated ? `${count(outdated, "task")} of earlier versions left out` : null,
  ].filter(Boolean);
  return [
    h("p", { class: "lead" }, facts.join(" · ")),
    subjects.some((subject) => subject.best) ? bestOfEach() : h("p", {}, "No measurement has a figure."),
    h("div", { class: "cards" }, failureCard(), doubtCard()),
  ];
}

function bestOfEach() {
  const { data, subjects } = report;
  const measured = subjects.filter((subject) => subject.best);
  const shown = report.allNames ? measured : measured.slice(0, NAMES_AT_FIRST);
  const more =
    measured.length > shown.length
      ? h(
          "button",
          {
            type: "button",
            onclick: () => {
              report.allNames = true;
              fill("summary", summary());
              listSections();
            },
          },
          `and ${measured.length - shown.length} more names`,
        )
      : null;
  const columns = [
    text("name"),
    text("best"),
    number("median"),
    number("95 % interval"),
    number("n"),
    number("speed-up"),
    text("over its base"),
    text("confirmed?"),
    text("doubts"),
  ];
  const rows = shown.map((subject) => {
    const { best } = subject;
    const base = baseOf(best);
    const sure = confirmed(best, data.comparisons);
    const alone = subject.ok.length === 1;
    const others = tied(best);
    const doubts = [
      ...flagMarks(best.flags, data.flags),
      others
        ? h("span", { class: "note", title: "their intervals overlap with its own" }, `not told from ${count(others, "other")}`)
        : null,
      best.stats.lo === undefined ? h("span", { class: "note" }, "n < 7") : null,
    ];
    return [
      h("span", {}, subject.name, h("small", { class: "line" }, subject.metric), h("small", { class: "line" }, direction(subject))),
      best.variant || "–",
      h("strong", {}, figure(best.stats.median, best.unit)),
      interval(best.stats, best.unit),
      String(best.stats.n),
      alone ? "–" : speedupText(best, base),
      alone
        ? "nothing to compare with"
        : base
          ? h("span", {}, base === best ? "itself" : inFull(base.stats, base.unit), h("small", {}, base.variant || base.name))
          : "its search had no baseline",
      alone
        ? "–"
        : h(
            "span",
            { class: sure.sure === true ? "good" : sure.sure === false ? "bad" : "unsure", title: sure.next },
            sure.word,
            h("small", {}, sure.why),
          ),
      doubts.some(Boolean) ? doubts : "none",
    ];
  });
  return h("div", {}, table("The best of each name", columns, rows, { class: "best" }), more);
}

function failureCard() {
  const ways = report.data.failures;
  if (ways.length === 0) return h("div", { class: "card" }, h("h3", {}, "Failures"), h("p", { class: "good" }, "none"));
  const total = ways.reduce((sum, way) => sum + way.count, 0);
  return h(
    "div",
    { class: "card" },
    h("h3", {}, h("a", { href: "#failures" }, count(total, "failure"))),
    h(
      "ul",
      {},
      ways
        .slice(0, 4)
        .map((way) =>
          h(
            "li",
            {},
            h("span", { class: "bad" }, `${way.count}× ${way.kind} ${way.status}`),
            ` ${short(way.text.replace(`${way.status}: `, ""), 140)}`,
          ),
        ),
    ),
    ways.length > 4 ? h("p", {}, h("a", { href: "#failures" }, `and ${ways.length - 4} other ways`)) : null,
  );
}

/** How many measurements have each flag, those of most first. */
function flagCounts() {
  const all = [...report.data.measurements, ...report.data.comparisons.flatMap(({ variants }) => variants)];
  const counts = grouped(
    all.flatMap((row) => row.flags.map((flag) => flag.replace(/:\d+$/, ""))),
    (flag) => flag,
  );
  return [...counts].map(([flag, list]) => [flag, list.length]).sort((a, b) => b[1] - a[1]);
}

function doubtCard() {
  const counts = flagCounts();
  if (counts.length === 0) return h("div", { class: "card" }, h("h3", {}, "Doubts"), h("p", { class: "good" }, "no flags"));
  return h(
    "div",
    { class: "card" },
    h("h3", {}, h("a", { href: "#flags" }, "Doubts")),
    h(
      "ul",
      {},
      counts
        .slice(0, 5)
        .map(([flag, n]) =>
          h(
            "li",
            {},
            h("span", { class: "flag" }, flag),
            ` ${n.toLocaleString("en")}× `,
            h("span", { class: "muted" }, short(meaning(flag, report.data.flags)?.means ?? "", 90)),
          ),
        ),
    ),
  );
}
