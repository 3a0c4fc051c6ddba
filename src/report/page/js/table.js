// The table of all measurements: search, filters, order, pages, and one measurement in full below its row.
"use strict";

const PAGE_SIZES = [50, 100, 500];
const MOST_PARAMETER_COLUMNS = 8;
const MOST_CHOICES = 40;

/** A condition of the search field: `tile>=16`, `compiler=gcc`, or a word that stands anywhere. `-` before it turns it round. */
function condition(token) {
  const negated = token.length > 1 && token.startsWith("-") && !token.startsWith("--");
  const plain = negated ? token.slice(1) : token;
  const [, name, operator, value] = plain.match(/^([^<>=!\s]+)(<=|>=|!=|=|<|>)(.+)$/) || [];
  const holds = name ? (row) => compares(row, name, operator, value) ?? contains(row, plain) : (row) => contains(row, plain);
  return negated ? (row) => !holds(row) : holds;
}

/** `null` if the row has nothing of that name. */
function compares(row, name, operator, value) {
  const own = { name: row.name, status: row.status, host: row.host, n: row.stats?.n, median: row.stats?.median, key: row.key };
  const found = Object.hasOwn(row.given, name) ? row.given[name] : Object.hasOwn(own, name) ? own[name] : undefined;
  if (found === undefined) return null;
  const number = Number(value);
  const [a, b] = typeof found === "number" && !Number.isNaN(number) ? [found, number] : [word(found).toLowerCase(), value.toLowerCase()];
  return { "=": a === b, "!=": a !== b, "<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b }[operator];
}

function contains(row, needle) {
  row.haystack ??= [row.name, row.variant, row.status, row.failure, row.host, row.key, row.flags.join(" "), row.argv.join(" ")]
    .join("\n")
    .toLowerCase();
  return row.haystack.includes(needle.toLowerCase());
}

/** Words of the search field; quotes keep some together. */
const tokens = (query) => [...query.matchAll(/"([^"]*)"?|(\S+)/g)].map((match) => match[1] ?? match[2]).filter(Boolean);

function resultTable(report, onchoose) {
  const { data, subjects } = report;
  const view = (report.view ??= {
    query: "",
    status: "",
    name: "",
    flag: "",
    params: Object.create(null),
    order: "",
    down: false,
    page: 0,
    size: PAGE_SIZES[0],
  });
  const rows = data.measurements;
  const columns = tableColumns(report);
  const body = h("tbody");
  const heads = columns.map((column) => head(column));
  const status = h("p", { class: "says", role: "status", id: "shown" });
  const pager = h("div", { class: "pager" });

  function head(column) {
    if (!column.order) return { column, element: h("th", { scope: "col" }, h("span", { class: "unseen" }, column.title)) };
    const button = h("button", { type: "button", onclick: () => sortBy(column) }, column.title);
    return { column, element: h("th", { scope: "col", class: column.number ? "n" : null, title: column.about }, button) };
  }

  function sortBy(column) {
    view.down = view.order === column.id ? !view.down : Boolean(column.down);
    view.order = column.id;
    view.page = 0;
    update();
  }

  function update() {
    const found = filtered(rows, view);
    const column = columns.find(({ id }) => id === view.order);
    const list = column ? sortedBy(found, column, view.down) : ranked(found);
    const pages = Math.max(1, Math.ceil(list.length / view.size));
    view.page = Math.min(view.page, pages - 1);
    const from = view.page * view.size;
    const page = list.slice(from, from + view.size);
    for (const {
      column: { id, order },
      element,
    } of heads)
      if (order) element.setAttribute("aria-sort", id !== view.order ? "none" : view.down ? "descending" : "ascending");
    body.replaceChildren(...page.map((row) => rowElement(row, columns, report, onchoose)));
    status.textContent = `${list.length === rows.length ? count(rows.length, "measurement") : `${list.length.toLocaleString("en")} of ${count(rows.length, "measurement")}`}${pages > 1 ? `, ${from + 1} to ${from + page.length} shown` : ""}${column ? `, by ${column.title}` : ", the best of each name first"}`;
    pager.replaceChildren(...(pages > 1 ? pagerOf(pages) : []));
  }

  function pagerOf(pages) {
    const to = (page) => () => {
      view.page = page;
      update();
    };
    return [
      h("button", { type: "button", onclick: to(view.page - 1), disabled: view.page === 0 }, "Previous"),
      h("span", {}, `page ${view.page + 1} of ${pages}`),
      h("button", { type: "button", onclick: to(view.page + 1), disabled: view.page === pages - 1 }, "Next"),
      choice(
        "rows",
        PAGE_SIZES.map((size) => [size, size]),
        view.size,
        (size) => {
          view.size = Number(size);
          view.page = 0;
          update();
        },
      ),
    ];
  }

  const refilter = () => {
    view.page = 0;
    update();
  };
  update();
  return h(
    "div",
    {},
    filters(report, view, refilter),
    status,
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Measurements" },
      h(
        "table",
        { id: "measurements" },
        h("caption", { class: "unseen" }, "Measurements"),
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            heads.map(({ element }) => element),
          ),
        ),
        body,
      ),
    ),
    pager,
    subjects.length === 0 ? h("p", {}, "Nothing was measured.") : null,
  );
}

function filters(report, view, refilter) {
  const rows = report.data.measurements;
  const tally = (words) => [...grouped(words, (item) => item)].map(([item, all]) => [item, `${item} (${all.length.toLocaleString("en")})`]);
  const picked = (label, field, words) => {
    const options = tally(words).sort((a, b) => (a[0] < b[0] ? -1 : 1));
    return options.length > 1 || view[field]
      ? choice(label, [["", "all"], ...options], view[field], (value) => {
          view[field] = value;
          refilter();
        })
      : null;
  };
  const search = h("input", {
    type: "search",
    id: "query",
    value: view.query,
    placeholder: "tile>=16 compiler=gcc drift",
    autocomplete: "off",
    spellcheck: "false",
    oninput: () => {
      view.query = search.value;
      refilter();
    },
  });
  const parameters = mergedParameters(report)
    .filter(({ values }) => values.length <= MOST_CHOICES)
    .slice(0, MOST_PARAMETER_COLUMNS);
  const byParameter = parameters.map(({ name, values }) =>
    choice(name, [["", "all"], ...values.map((value) => [word(value), word(value)])], view.params[name] ?? "", (value) => {
      view.params[name] = value;
      refilter();
    }),
  );
  return h(
    "div",
    { class: "filters", role: "search" },
    h("label", { class: "choice wide" }, h("span", {}, "search"), search),
    picked(
      "name",
      "name",
      rows.map((row) => row.name),
    ),
    picked(
      "status",
      "status",
      rows.map((row) => row.status),
    ),
    picked(
      "flag",
      "flag",
      rows.flatMap((row) => row.flags.map((flag) => flag.replace(/:\d+$/, ""))),
    ),
    byParameter.length
      ? h("details", { class: "more" }, h("summary", {}, "Parameters"), h("div", { class: "filters" }, byParameter))
      : null,
  );
}

function filtered(rows, view) {
  const conditions = tokens(view.query).map(condition);
  const params = Object.entries(view.params).filter(([, value]) => value !== "");
  return rows.filter(
    (row) =>
      (!view.status || row.status === view.status) &&
      (!view.name || row.name === view.name) &&
      (!view.flag || row.flags.some((flag) => flag === view.flag || flag.startsWith(`${view.flag}:`))) &&
      params.every(([name, value]) => row.given[name] !== undefined && word(row.given[name]) === value) &&
      conditions.every((holds) => holds(row)),
  );
}

/** By name as they came, the best first, what failed last. */
function ranked(rows) {
  const names = new Map([...new Set(rows.map((row) => row.subject))].map((subject, at) => [subject, at]));
  const of = (row) => (row.ok ? 0 : 1);
  return [...rows].sort(
    (a, b) =>
      names.get(a.subject) - names.get(b.subject) ||
      of(a) - of(b) ||
      (a.ok ? (a.subject.isBetter(a.stats.median, b.stats.median) ? -1 : a.stats.median === b.stats.median ? 0 : 1) : a.index - b.index),
  );
}

/** What has no figure comes last, whichever way. */
function sortedBy(rows, column, down) {
  const keyed = rows.map((row) => [column.order(row), row]);
  const absent = (key) => key === undefined || key === null || key === "";
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  keyed.sort(
    ([a, x], [b, y]) => Number(absent(a)) - Number(absent(b)) || (absent(a) ? 0 : (down ? -1 : 1) * compare(a, b)) || x.index - y.index,
  );
  return keyed.map(([, row]) => row);
}

/** Parameters of all names, those that occur most first. */
function mergedParameters({ subjects }) {
  const all = grouped(
    subjects.flatMap((subject) => subject.parameters.map((parameter) => ({ ...parameter, weight: subject.rows.length }))),
    ({ name }) => name,
  );
  const merged = [...all].map(([name, list]) => ({
    name,
    weight: list.reduce((sum, { weight }) => sum + weight, 0),
    values: ordered([...new Map(list.flatMap(({ values }) => values).map((value) => [word(value), value])).values()]),
  }));
  return merged.sort((a, b) => b.weight - a.weight);
}

/** { id, title, cell(row), order(row), number } */
function tableColumns(report) {
  const { data, subjects } = report;
  const column = (id, title, cell, order, rest = {}) => ({ id, title, cell, order, ...rest });
  const figures = { number: true, figure: true };
  const parameters = mergedParameters(report).slice(0, MOST_PARAMETER_COLUMNS);
  return [
    { id: "choose", title: "in charts" },
    column(
      "name",
      "name",
      (row) => row.name,
      (row) => row.name,
    ),
    ...parameters.map(({ name }) =>
      column(
        `param:${name}`,
        name,
        (row) => (row.given[name] === undefined ? "" : word(row.given[name])),
        (row) => row.given[name],
        { number: subjects.every((subject) => subject.parameters.every((other) => other.name !== name || other.numeric)) },
      ),
    ),
    column(
      "median",
      "median",
      (row) => (row.at_most !== undefined && row.stats.median <= row.at_most ? "≤ " : "") + figure(row.stats.median, row.unit),
      (row) => (row.ok ? row.stats.median : null),
      figures,
    ),
    column(
      "interval",
      "95 % interval",
      (row) => interval(row.stats, row.unit),
      (row) => row.stats?.lo,
      figures,
    ),
    column(
      "n",
      "n",
      (row) => String(row.stats.n),
      (row) => row.stats?.n,
      figures,
    ),
    column("spread", "±", (row) => (halfWidth(row) === null ? "" : `${(100 * halfWidth(row)).toFixed(1)} %`), halfWidth, {
      ...figures,
      about: "the further end of the interval from the median",
    }),
    column(
      "gain",
      "speed-up",
      (row) => speedupText(row, baseOf(row)),
      (row) => speedup(row, baseOf(row))?.ratio,
      { ...figures, down: true, about: "over the base of its name under the same version of the script, in a search over its baseline; the summary names that of the best" },
    ),
    column(
      "status",
      "status",
      (row) => h("span", { class: row.ok ? null : "bad" }, row.status),
      (row) => row.status,
    ),
    column(
      "flags",
      "flags",
      (row) => flagMarks(row.flags, data.flags),
      (row) => row.flags.join(" "),
    ),
    column(
      "host",
      "host",
      (row) => row.host,
      (row) => row.host,
    ),
    column(
      "started",
      "started",
      (row) => moment(row.started),
      (row) => row.started,
    ),
  ];
}

/** Relative; null without interval. */
function halfWidth(row) {
  if (!row.ok || row.stats.lo === undefined || row.stats.median === 0) return null;
  return Math.max(row.stats.median - row.stats.lo, row.stats.hi - row.stats.median) / Math.abs(row.stats.median);
}

function rowElement(row, columns, report, onchoose) {
  const box = row.ok
    ? h("input", {
        type: "checkbox",
        "aria-label": `${row.name} ${row.variant} in the charts`,
        checked: report.chosen.has(row),
        onchange: () => {
          if (box.checked) report.chosen.add(row);
          else report.chosen.delete(row);
          onchoose(row);
        },
      })
    : "";
  const element = h(
    "tr",
    { class: row.ok ? null : "failed" },
    columns.map((column) => {
      if (column.id === "choose") return h("td", { class: "tight" }, box);
      // Where its figures would stand is why it has none.
      if (column.figure && !row.ok)
        return column.id === "median"
          ? h(
              "td",
              { class: "bad reason", colspan: columns.filter(({ figure: one }) => one).length },
              h("div", {}, row.failure ?? "no figure"),
            )
          : null;
      if (column.id !== "name") return h("td", { class: column.number ? "n" : column.id === "flags" ? "wrap" : null }, column.cell(row));
      const button = h("button", { type: "button", class: "open", "aria-expanded": "false", onclick: () => toggle(button) }, row.name);
      return h("th", { scope: "row" }, button);
    }),
  );
  function toggle(button) {
    const open = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!open));
    if (open) element.nextElementSibling.remove();
    else element.after(h("tr", { class: "detail" }, h("td", { colspan: columns.length }, detail(row, report))));
  }
  return element;
}

/** One measurement in full. */
function detail(row, report) {
  const env = report.data.envs.find(({ id }) => id === row.env);
  const facts = [
    ["command", row.argv.length ? h("code", {}, row.argv.map(quoted).join(" ")) : null],
    [
      "set in its environment",
      row.env_delta
        ? h(
            "code",
            {},
            Object.entries(row.env_delta)
              .map(([name, value]) => `${name}=${quoted(value)}`)
              .join(" "),
          )
        : null,
    ],
    ["why it failed", row.failure],
    ["the end of its standard error", row.stderr ? h("pre", {}, row.stderr) : null],
    ["same program as", row.same_as],
    ["ended", row.stop ? `${row.stop}, after ${duration(row.ended - row.started)}` : null],
    [
      "range",
      row.stats
        ? `${figure(row.stats.min, row.unit)} to ${figure(row.stats.max, row.unit)}, quartiles ${figure(row.stats.q1, row.unit)} and ${figure(row.stats.q3, row.unit)}`
        : null,
    ],
    ["ranks", row.ranks ? `${row.ranks} on ${count(row.nodes || 1, "node")}` : null],
    ...row.facts,
    ["node", env ? [env.host, env.cpu_model, env.kernel].filter(Boolean).join(", ") : row.host],
    ["again", h("code", {}, `harness rerun ${row.key} ${quoted(report.data.journals[row.journal].path)}`)],
  ].filter(([, value]) => value !== null && value !== undefined && value !== "");
  const others = row.metrics.length
    ? table(
        `Further metrics of ${row.label}`,
        [text("metric"), ...figureColumns, text("")],
        row.metrics.map((metric) => [
          metric.name,
          figure(metric.stats.median, metric.unit),
          interval(metric.stats, metric.unit),
          String(metric.stats.n),
          better(metric.better),
        ]),
      )
    : null;
  return h(
    "div",
    { class: "facts" },
    h(
      "dl",
      {},
      facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
    ),
    others,
  );
}

/** An argument as a shell would take it. */
const quoted = (argument) => (/^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`);
