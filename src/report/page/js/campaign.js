// What the figures say, before anything is drawn: subjects, bases, speed-ups, what is confirmed and what is in doubt.
"use strict";

/** Parameters by which a point is measured again, not changed. */
const REPLICATE = /^(round|rep|repeat|repetition|replicate|trial|iteration|seed|run)s?$/i;

/** A parameter, or column, that counts what works at the same time. */
const PARALLEL = /^(n_?|num_?|omp_)?(rank|proc|process|processe|thread|node|core|cpu|worker|gpu|np|nt|pe)(s|_count|_num_threads)?$/i;

/** The journal's data with what the sections need of it. */
function prepare(data) {
  const several = data.journals.length > 1;
  data.measurements.forEach((row, index) => {
    row.index = index;
    row.ok = row.status === "ok" && row.stats !== null && finite(row.stats.median);
    // Without prototype: a parameter may be called `constructor`.
    row.given = Object.assign(
      Object.create(null),
      row.params !== null && typeof row.params === "object" && !Array.isArray(row.params) ? row.params : {},
    );
    if (several) {
      row.given.journal = data.journals[row.journal].path.split("/").pop();
      row.variant = [row.variant, `journal=${row.given.journal}`].filter(Boolean).join(" ");
    }
    row.label = row.variant || row.name;
  });
  const ran = data.measurements.filter((row) => row.host && finite(row.started) && finite(row.ended));
  data.tasks.push(
    ...ran.map((row) => ({
      journal: row.journal,
      kind: "measure",
      what: `${row.name} ${row.variant}`,
      status: row.status,
      hosts: row.hosts ?? [row.host],
      worker: row.worker,
      from: row.started,
      to: row.ended,
    })),
  );
  data.measurements.forEach((row) => {
    row.baseline = baselineOf(row, data.comparisons);
  });
  const subjects = [...grouped(data.measurements, (row) => `${row.name}\n${row.metric}\n${row.unit}\n${row.better}`).values()].map(
    subjectOf,
  );
  return {
    data,
    subjects,
    subject: subjects.reduce((most, subject) => (subject.ok.length > (most?.ok.length ?? 0) ? subject : most), subjects[0] ?? null),
    chosen: new Set(),
  };
}

/** Measurements that can be compared: of one name and one objective. */
function subjectOf(rows) {
  const [{ name, metric, unit, better: way }] = rows;
  const subject = { name, metric, unit, better: way, rows };
  rows.forEach((row) => {
    row.subject = subject;
  });
  const sign = way === "more" ? -1 : 1;
  subject.isBetter = (a, b) => sign * (a - b) < 0;
  subject.ok = rows.filter((row) => row.ok).sort((a, b) => sign * (a.stats.median - b.stats.median));
  subject.inOrder = [...rows].sort((a, b) => (a.started ?? Infinity) - (b.started ?? Infinity) || a.trial - b.trial);
  subject.best = subject.ok[0] || null;
  // By version of the script the first that was measured well: what a campaign begins with is mostly what it compares with.
  // Under another version the name may be of something else. A search begins anywhere: its first trial is no base, but the
  // baseline that it was given is.
  subject.bases = new Map(
    [...grouped(subject.inOrder, (row) => row.script)].map(([script, same]) => [
      script,
      same.find((row) => row.baseline)?.baseline ?? same.find((row) => row.ok && !row.search),
    ]),
  );
  const names = new Set(rows.flatMap((row) => Object.keys(row.given)));
  const values = (name) => [
    ...new Map(rows.filter((row) => row.given[name] !== undefined).map((row) => [word(row.given[name]), row.given[name]])).values(),
  ];
  subject.parameters = [...names].map((name) => ({ name, values: ordered(values(name)) })).filter(({ values }) => values.length > 1);
  subject.parameters.forEach((parameter) => {
    parameter.numeric = parameter.values.every((value) => typeof value === "number");
  });
  // What tells them apart: what they have in common is no news in a chart.
  for (const row of rows)
    row.brief =
      subject.parameters
        .filter(({ name }) => row.given[name] !== undefined)
        .map(({ name }) => `${name}=${word(row.given[name])}`)
        .join(" ") || row.label;
  subject.dimensions = subject.parameters.filter(({ name }) => !REPLICATE.test(name));
  return subject;
}

/** Of a trial of a search the baseline, as it was measured at the end of that search; it stands in no row of its own. */
function baselineOf(row, comparisons) {
  const base = comparisons[row.baseline]?.variants[0];
  if (!base?.stats || base.metric !== row.metric || base.unit !== row.unit || !finite(base.stats.median)) return null;
  const { stats, unit, better } = base;
  return { stats, unit, better, ok: true, name: "the baseline of the search", label: "the baseline of the search" };
}

/** What it is compared with. */
const baseOf = (row) => row?.subject.bases.get(row.script) ?? null;

/** How many times better than its base, and between what: the ends of both intervals against each other. None without two figures above 0. */
function speedup(row, base) {
  if (!row?.ok || !base?.ok || row.stats.median <= 0 || base.stats.median <= 0) return null;
  const more = row.better === "more";
  const gain = (a, b) => (more ? b / a : a / b);
  const result = { ratio: gain(base.stats.median, row.stats.median) };
  if (!finite(result.ratio) || result.ratio === 0) return null; // no number is so large
  const [a, b] = [base.stats, row.stats];
  if (row !== base && a.lo > 0 && b.lo > 0) {
    [result.lo, result.hi] = more ? [b.lo / a.hi, b.hi / a.lo] : [a.lo / b.hi, a.hi / b.lo];
  }
  return result;
}

const times = (x) => (finite(x) ? `${x >= 99.95 ? x.toPrecision(4) : x.toFixed(2)}×` : "–");

function speedupText(row, base) {
  const gain = speedup(row, base);
  if (!gain) return "–";
  if (row === base) return "the base";
  return gain.lo === undefined ? times(gain.ratio) : `${times(gain.ratio)} [${gain.lo.toFixed(2)}, ${gain.hi.toFixed(2)}]`;
}

const overlap = (a, b) => a.lo !== undefined && b.lo !== undefined && a.lo <= b.hi && b.lo <= a.hi;

/**
 * Was the best measured afresh since it was picked? { word, sure, why }: `sure` is true if that confirms it, false if it
 * contradicts it, null if it leaves it open.
 */
function confirmed(row, comparisons) {
  const said = [...(row.compared || []).map(([at, number]) => inTurns(comparisons[at], number)), measuredAgain(row)].filter(Boolean);
  const contradicted = said.find(({ sure }) => sure === false);
  const found = contradicted || said.find(({ sure }) => sure) || said[0];
  if (found) return { word: { true: "confirmed", false: "contradicted", null: "open" }[found.sure], ...found };
  return {
    word: "not confirmed",
    sure: null,
    why: `the best of ${row.subject.ok.length}, and noise flatters the best of many`,
    next: `Compare it with the next best in turns (compare in a script), or measure it again: harness rerun ${row.key}`,
  };
}

/** What a comparison says of one of its variants, the first of which is the base. */
function inTurns({ name, variants }, number) {
  const own = variants[number];
  const rivals = variants.filter((rival) => rival !== own && rival !== variants[0] && rival.verdict);
  const where = `(comparison ${name})`;
  if (number > 0 && own.verdict === "slower") return { sure: false, why: `in turns with it, ${variants[0].name} was faster ${where}` };
  if (number > 0 && own.verdict === "unresolved")
    return { sure: null, why: `in turns with ${variants[0].name} the rounds did not tell which is faster ${where}` };
  if (number > 0 && own.verdict !== "faster") return null;
  const ahead = rivals.find((rival) => (number === 0 ? rival.verdict === "faster" : rival.ci && own.ci && rival.ci.lo > own.ci.hi));
  if (ahead) return { sure: false, why: `in turns with it, ${ahead.name} was faster ${where}` };
  const open = number === 0 && rivals.find((rival) => rival.verdict === "unresolved");
  if (open) return { sure: null, why: `in turns with ${open.name} the rounds did not tell which is faster ${where}` };
  if (number === 0)
    return rivals.length > 0 ? { sure: true, why: `in turns with ${count(rivals.length, "other")} none was faster ${where}` } : null;
  return { sure: true, why: `in turns it was ${own.ratio.toFixed(3)}× as good as ${variants[0].name} ${where}` };
}

/** What `harness rerun` says of it. */
function measuredAgain(row) {
  const again = (row.repeats || []).filter(
    ({ status, stats }) => status === "ok" && stats && stats.lo !== undefined && row.stats.lo !== undefined,
  );
  const disagree = again.find(({ stats }) => !overlap(stats, row.stats));
  if (disagree) return { sure: false, why: `measured again it was ${inFull(disagree.stats, row.unit)}` };
  return again.length > 0 ? { sure: true, why: `measured again ${count(again.length, "time")}, and the intervals overlap` } : null;
}

/** How many of the others its interval does not tell from it. */
const tied = (row) => row.subject.ok.filter((other) => other !== row && overlap(other.stats, row.stats)).length;

/** What is said of a flag: the longest name it begins with, as in `outliers_mild:2`. */
function meaning(flag, flags) {
  const fits = flags.filter(({ name }) => flag === name || flag.startsWith(`${name}:`));
  return fits.sort((a, b) => b.name.length - a.name.length)[0] || null;
}

/** Small marks, each with what it means. */
function flagMarks(flags, known) {
  return flags.map((flag) => {
    const found = meaning(flag, known);
    return h("a", { class: "flag", href: "#flags", title: found ? `${found.means}. Do: ${found.do}` : null }, flag);
  });
}

/** Which numbers of ranks, threads or nodes were tried: the parameter or column that scaling is over. */
function parallelism(subject) {
  const parameter = subject.dimensions.find(
    ({ name, numeric, values }) => numeric && PARALLEL.test(name) && values.every((value) => value > 0),
  );
  if (parameter) return { name: parameter.name, of: (row) => row.given[parameter.name] };
  for (const name of ["ranks", "nodes"]) {
    if (new Set(subject.ok.map((row) => row[name]).filter(finite)).size > 1) return { name, of: (row) => row[name] };
  }
  return null;
}

/** What a subject's figures are. */
const figureName = (subject) => subject.metric || "figure";
const direction = (subject) => better(subject.better);
const sentence = (words) => words[0].toUpperCase() + words.slice(1);

const short = (label, most = 52) => (label.length > most ? `${label.slice(0, most - 1)}…` : label);
const numbered = (row) => `${short(row.brief)}${row === baseOf(row) ? " (base)" : ""}, n = ${row.stats.n}`;
