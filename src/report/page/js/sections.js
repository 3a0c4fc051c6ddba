// The sections below the summary: those of tables, and those that put charts and their choices together.
"use strict";

const COMPARISONS_AT_FIRST = 6;

function comparisons() {
  const { data } = report;
  if (data.comparisons.length === 0) return null;
  const shown = report.allComparisons ? data.comparisons : data.comparisons.slice(0, COMPARISONS_AT_FIRST);
  const more =
    data.comparisons.length > shown.length
      ? h(
          "button",
          {
            type: "button",
            onclick: () => {
              report.allComparisons = true;
              fill("comparisons", comparisons());
            },
          },
          `and ${data.comparisons.length - shown.length} more`,
        )
      : null;
  const slow = data.slow_nodes.map((line) => h("p", { class: "unsure" }, line));
  return [...slow, ...shown.map(comparison), more];
}

function comparison(found, at) {
  const [base] = found.variants;
  const columns = [
    text("variant"),
    text("verdict"),
    number("ratio"),
    number("95 % interval"),
    number("rounds"),
    number("median"),
    number("95 % interval of it"),
    number("n"),
    text("flags"),
  ];
  const rows = found.variants.map((variant) => [
    variant.name,
    variant.status !== "ok"
      ? h("span", { class: "bad" }, `${variant.status}: ${variant.reason ?? ""}`)
      : variant === base
        ? "the base"
        : h(
            "span",
            { class: { faster: "good", slower: "bad" }[variant.verdict] ?? "unsure" },
            (variant.verdict ?? "–").replaceAll("_", " "),
          ),
    finite(variant.ratio) ? `${variant.ratio.toFixed(3)}×` : "–",
    variant.ci
      ? `[${variant.ci.lo.toFixed(3)}, ${variant.ci.hi.toFixed(3)}]`
      : variant === base || !finite(variant.ratio)
        ? "–"
        : "too few rounds",
    variant.rounds === undefined ? "–" : String(variant.rounds),
    variant.stats ? figure(variant.stats.median, variant.unit) : "–",
    variant.stats ? interval(variant.stats, variant.unit) : "–",
    variant.stats ? String(variant.stats.n) : "–",
    flagMarks(variant.flags, report.data.flags),
  ]);
  const says = [
    `${count(found.rounds, "round")} on ${found.host || "no node"}, ended ${found.stop}`,
    base ? `${base.metric}, ${better(base.better)}` : null,
    `a difference of ${(100 * found.min_effect).toFixed(1)} % matters`,
  ]
    .filter(Boolean)
    .join(" · ");
  const drawable = found.variants.some(({ ratio }) => finite(ratio));
  return h(
    "article",
    {},
    h("h3", {}, found.name),
    h("p", { class: "says" }, says),
    found.failure ? h("p", { class: "bad" }, found.failure) : null,
    table(`Comparison ${found.name}`, columns, rows),
    drawable ? chart(`ratios-${at}`, `Ratios of ${found.name}`, (colours) => ratios(found, colours)) : null,
  );
}

function failures() {
  const ways = report.data.failures;
  if (ways.length === 0) return null;
  const columns = [text("what"), number("how often"), text("which"), text("where"), text("why")];
  const rows = ways.map((way) => {
    const long = way.reason.length > way.text.length || way.reason.includes("\n");
    return [
      h("span", {}, way.kind, h("small", { class: "bad" }, way.status), way.followed ? h("small", {}, "followed from another") : null),
      String(way.count),
      way.named.join(", ") + (way.count > way.named.length && way.named.length ? " …" : ""),
      way.hosts.join(", "),
      h(
        "div",
        { class: "why" },
        way.text.replace(`${way.status}: `, ""),
        long ? h("details", {}, h("summary", {}, "in full"), h("pre", {}, way.reason)) : null,
      ),
    ];
  });
  return table("Failures by reason", columns, rows, { class: "wide" });
}

function flagTable() {
  const counts = flagCounts();
  if (counts.length === 0) return null;
  const rows = counts.map(([flag, n]) => {
    const found = meaning(flag, report.data.flags);
    return [h("span", { class: "flag" }, flag), n.toLocaleString("en"), found?.means ?? "–", found?.do ?? "–"];
  });
  return [
    h("p", { class: "says" }, "Flags say what to know before believing a figure. They remove nothing: every sample is kept."),
    table("Flags", [text("flag"), number("how often"), text("it means"), text("do")], rows, { class: "wide" }),
  ];
}

function environment() {
  const { data } = report;
  const sessions = data.journals.flatMap((journal) =>
    journal.sessions.map((session) => [
      moment(session.started_unix_s),
      session.host,
      session.job ? `${session.job.scheduler} ${session.job.id}` : "–",
      session.version,
      (session.script_hash ?? "–").slice(0, 12),
      journal.script,
    ]),
  );
  const provenance = data.journals.map((journal) => [
    journal.script,
    journal.path,
    journal.seed === null ? "–" : String(journal.seed),
    [
      ...new Set(
        data.measurements
          .filter((row) => data.journals[row.journal] === journal)
          .flatMap((row) => row.facts.filter(([label]) => label === "git").map(([, commit]) => commit)),
      ),
    ].join(", ") || "–",
  ]);
  const labels = {
    host: "node",
    cpu_model: "processor",
    microcode: "microcode",
    sockets: "sockets",
    cores: "cores",
    kernel: "kernel",
    libc: "C library",
    governor: "governor",
    boost: "boost",
    smt: "SMT",
    aslr: "ASLR",
    thp: "huge pages",
    numa_balancing: "NUMA balancing",
    load1: "load at the start",
    swap_used_bytes: "swap in use",
    cgroup_cpu_max: "CPU limit",
    modules: "modules",
    slurm: "Slurm",
    gpu: "GPU",
    mpi: "MPI",
    cmdline: "kernel's arguments",
  };
  const say = (value) =>
    value === null || value === undefined
      ? "–"
      : Array.isArray(value)
        ? value.join(" ") || "none"
        : typeof value === "object"
          ? Object.entries(value)
              .map(([name, item]) => `${name} ${item}`)
              .join(", ")
          : typeof value === "boolean"
            ? value
              ? "on"
              : "off"
            : String(value);
  const known = Object.keys(labels).filter((field) => data.envs.some((env) => env[field] !== null && env[field] !== undefined));
  const nodes = data.envs.length
    ? table(
        "Nodes",
        [text(""), ...data.envs.map((env) => text(env.host ?? "?"))],
        known.map((field) => [labels[field], ...data.envs.map((env) => say(env[field]))]),
        { class: "envs" },
      )
    : h("p", {}, "No node told of itself.");
  return [
    h("h3", {}, "Runs of the script"),
    table(
      "Runs of the script",
      [text("began"), text("root on"), text("job"), text("harness"), text("script's hash"), text("script")],
      sessions,
    ),
    h("h3", {}, "Provenance"),
    table("Provenance", [text("script"), text("journal"), text("seed"), text("git commit")], provenance),
    h("h3", {}, "Nodes"),
    nodes,
  ];
}

function subjectChoice() {
  const { subjects, subject } = report;
  const measured = subjects.filter(({ ok }) => ok.length > 0);
  const names =
    measured.length > 1
      ? choice(
          "measurements of",
          measured.map((other, at) => [at, `${other.name} (${other.metric})`]),
          measured.indexOf(subject),
          (at) => {
            report.subject = measured[at];
            drawSubject();
            $("distribution").querySelector("select").focus();
          },
        )
      : null;
  const bases = [...subject.bases].map(([script, base]) => {
    const same = subject.inOrder.filter((row) => row.ok && row.script === script);
    const labelled = (row) => `${short(row.label, 60)}: ${figure(row.stats.median, row.unit)}`;
    // Of a search: its baseline, if it had one.
    const trial = same.find((row) => row.baseline) ?? same.find((row) => row.search);
    if (same.length < 2) return null;
    return choice(
      subject.bases.size > 1 ? `base of speed-ups, script ${script + 1}` : "base of speed-ups",
      [
        ...(trial ? [["", trial.baseline ? labelled(trial.baseline) : "none"]] : []),
        ...sampled(same, 300).map((row) => [row.index, labelled(row)]),
      ],
      base?.index ?? "",
      (index) => {
        subject.bases.set(script, index === "" ? trial.baseline : report.data.measurements[index]);
        drawPage();
      },
    );
  });
  return names || bases.some(Boolean) ? h("div", { class: "controls" }, names, bases) : null;
}

function parameters() {
  const { subject } = report;
  const { dimensions } = subject;
  if (dimensions.length === 0) return null;
  const names = dimensions.map(({ name }) => [name, name]);
  const named = (name, otherwise) => dimensions.find((dimension) => dimension.name === name) || otherwise;
  const picked = (subject.picked ??= { one: dimensions[0].name, across: dimensions[0].name, down: dimensions[1]?.name });
  const pick = (label, field, id) =>
    choice(label, names, picked[field], (name) => {
      picked[field] = name;
      redraw([id]);
    });
  const charts = [];
  if (dimensions.length > 1)
    charts.push(
      chart(
        "heat",
        "Two parameters",
        (colours) => heat(report, named(picked.across), named(picked.down), colours),
        dimensions.length > 2 ? [pick("across", "across", "heat"), pick("down", "down", "heat")] : [],
      ),
    );
  charts.push(
    chart(
      "effect",
      "One parameter",
      (colours) => effect(report, named(picked.one), colours),
      dimensions.length > 1 ? [pick("parameter", "one", "effect")] : [],
    ),
  );
  if (dimensions.length > 2) charts.push(chart("parallel", "All parameters", (colours) => parallel(report, colours)));
  return charts;
}

function search() {
  const ways = [
    ["order", "by number"],
    ["time", "by time"],
  ];
  return chart("trajectory", "Best so far", (colours) => trajectory(report, report.byTime === true, colours), [
    choice("along", ways, report.byTime ? "time" : "order", (way) => {
      report.byTime = way === "time";
      redraw(["trajectory"]);
    }),
  ]);
}

function scalings() {
  const { subject } = report;
  const over = parallelism(subject);
  if (!over) return null;
  const { grows, series } = scalingSeries(subject, over);
  if (series.length === 0) return null;
  subject.weak ??= grows;
  const ways = [
    ["strong", "is the same"],
    ["weak", "grows with it"],
  ];
  return chart("scaling", `Over ${over.name}`, (colours) => scaling(report, over, subject.weak, colours), [
    choice("the work", ways, subject.weak ? "weak" : "strong", (way) => {
      subject.weak = way === "weak";
      redraw(["scaling"]);
    }),
  ]);
}

/** Sessions may be days apart: one at a time. */
function timelines() {
  const { data } = report;
  if (data.tasks.length === 0) return null;
  const sessions = data.journals.flatMap((journal, at) =>
    journal.sessions.map((session, number) => ({
      at,
      from: session.started_unix_s,
      until: journal.sessions[number + 1]?.started_unix_s ?? Infinity,
      name: `${journal.script}, ${moment(session.started_unix_s)}`,
    })),
  );
  const of = ({ at, from, until }) => data.tasks.filter((task) => task.journal === at && task.from >= from && task.from < until);
  const busy = sessions.map((session) => ({ session, tasks: of(session) })).filter(({ tasks }) => tasks.length > 0);
  if (busy.length === 0) return null;
  for (const { tasks } of busy)
    for (const task of tasks)
      task.lanes = task.hosts.map((host) =>
        task.hosts.length > 1 || task.worker === undefined ? host : `${host} · worker ${task.worker}`,
      );
  const fullest = busy.reduce((a, b) => (b.tasks.length >= a.tasks.length ? b : a));
  report.session ??= busy.indexOf(fullest);
  const tasks = () => (busy[report.session] || fullest).tasks;
  return chart(
    "timeline",
    "Who ran what, where, when",
    (colours) => timeline(tasks(), colours),
    busy.length > 1
      ? [
          choice(
            "run of the script",
            busy.map(({ session, tasks: all }, at) => [at, `${session.name}: ${count(all.length, "task")}`]),
            report.session,
            (at) => {
              report.session = Number(at);
              redraw(["timeline"]);
            },
          ),
        ]
      : [],
  );
}

function onchosen(row) {
  if (row.subject === report.subject) return redraw(["boxes", "ecdf"]);
  report.subject = row.subject;
  return drawSubject();
}
