// How charts come about: drawn when they come into view, in the page's colours, each with the same figures as a table.
"use strict";

/** All charts on the page, so that colours and sizes can change under them. */
const drawn = new Map();
const RENDER_AS_PIXELS = 1500; // marks; below, lines stay sharp in print
const MOST_ROWS_BELOW = 500;
const MOST_POINTS = 4000;

const probe = document.body.appendChild(h("span", { hidden: true }));

/** A colour of the page as it is at this moment, light or dark. */
function shade(name) {
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

/** The colours of the page, as it is shown now. */
function ink() {
  const names = ["ink", "muted", "line", "panel", "good", "bad", "accent", "ramp-ink-good", "ramp-ink-bad"];
  const colours = Object.fromEntries(names.map((name) => [name, shade(`--${name}`)]));
  colours.series = Array.from({ length: 8 }, (_, at) => shade(`--series-${at + 1}`));
  colours.ramp = Array.from({ length: 5 }, (_, at) => shade(`--ramp-${at + 1}`));
  colours.best = Number(colours.panel.match(/\d+/)) < 128 ? "lighter" : "darker"; // where the ramp ends
  return colours;
}

/** What all charts have in common. */
function common(colours) {
  return {
    animation: false,
    backgroundColor: "transparent",
    color: colours.series,
    textStyle: { fontFamily: getComputedStyle(document.body).fontFamily, fontSize: 12, color: colours.ink },
    grid: { left: 12, right: 24, top: 36, bottom: 12, outerBoundsMode: "same", outerBoundsContain: "all" },
    tooltip: {
      confine: true,
      backgroundColor: colours.panel,
      borderColor: colours.line,
      textStyle: { color: colours.ink, fontSize: 12 },
      extraCssText: "max-width: 30rem; white-space: normal; box-shadow: none;",
    },
    legend: {
      top: 0,
      left: 0,
      type: "scroll",
      textStyle: { color: colours.ink },
      inactiveColor: colours.muted,
      pageTextStyle: { color: colours.ink },
      itemHeight: 9,
      itemWidth: 16,
    },
  };
}

/** An axis with its name and unit. */
function axis(colours, options) {
  return {
    nameLocation: "middle",
    nameGap: 10,
    nameTextStyle: { color: colours.ink, fontSize: 12 },
    axisLine: { show: true, lineStyle: { color: colours.line } },
    axisTick: { show: false },
    axisLabel: { color: colours.muted, hideOverlap: true, ...options.axisLabel },
    splitLine: { show: options.type !== "category", lineStyle: { color: colours.line, opacity: 0.6 } },
    ...without(options, "axisLabel"),
  };
}

const without = (object, name) => Object.fromEntries(Object.entries(object).filter(([key]) => key !== name));

/** An axis of figures in one unit. `logarithmic` where they span more than two orders of magnitude. */
function figureAxis(colours, what, unit, figures, options = {}) {
  const written = axisOf(unit, figures);
  return axis(colours, { type: "value", scale: true, name: written.title(what), ...options, axisLabel: { formatter: written.number } });
}

/** Lines of text in a tip: elements, so that nothing in them is taken for markup. */
const tip = (...lines) =>
  h(
    "div",
    {},
    lines.filter(Boolean).map((line, at) => h(at === 0 ? "strong" : "div", {}, line)),
  );

/** What a tip says of a measurement. */
function tipOf(row) {
  if (!row.ok) return tip(row.label, row.failure);
  const base = baseOf(row);
  return tip(
    row.label,
    inFull(row.stats, row.unit),
    base && row !== base ? `${speedupText(row, base)} over ${inFull(base.stats, base.unit)}` : null,
    row.flags.join(", ") || null,
  );
}

/**
 * A chart with its heading. `make(colours)` gives { option, marks, height, says, columns, rows } when it is needed: the
 * option of ECharts, how many marks it draws, and the same as a table. `controls` are elements above it.
 */
function chart(id, title, make, controls = []) {
  const place = h("div", { class: "chart", id: `chart-${id}`, role: "img", "aria-label": title });
  const says = h("p", { class: "says" });
  const below = h("details", { class: "below" }, h("summary", {}, "The same as a table"));
  const element = h(
    "figure",
    { "aria-labelledby": `title-${id}` },
    h("figcaption", {}, h("h3", { id: `title-${id}` }, title), says),
    controls.length ? h("div", { class: "controls" }, controls) : null,
    place,
    below,
  );
  const entry = { id, place, says, below, make, instance: null, pixels: null, title };
  drawn.set(id, entry);
  below.addEventListener("toggle", () => below.open && fillTable(entry));
  seen.observe(place);
  return element;
}

const seen = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      const entry = [...drawn.values()].find(({ place }) => place === target);
      if (isIntersecting && entry && !entry.instance) draw(entry);
    }
  },
  { rootMargin: "300px" },
);

const resized = new ResizeObserver((entries) => {
  for (const { target } of entries) [...drawn.values()].find(({ place }) => place === target)?.instance?.resize();
});

/** Draws it, anew if it is there already. */
function draw(entry) {
  const colours = ink();
  const made = entry.make(colours);
  entry.made = made;
  entry.says.textContent = made.says;
  entry.place.setAttribute("aria-label", `${entry.title}. ${made.says}`);
  entry.place.style.height = `${made.height || 320}px`;
  const pixels = made.marks > RENDER_AS_PIXELS;
  if (entry.instance && entry.pixels !== pixels) forget(entry);
  if (!entry.instance) {
    entry.instance = echarts.init(entry.place, null, { renderer: pixels ? "canvas" : "svg" });
    entry.pixels = pixels;
    resized.observe(entry.place);
  }
  entry.instance.resize();
  entry.instance.setOption({ ...common(colours), ...made.option }, { notMerge: true });
  entry.place.dataset.drawn = String(made.marks);
  if (entry.below.open) fillTable(entry);
  if (performance.getEntriesByName("first chart").length === 0) performance.mark("first chart");
}

function forget(entry) {
  resized.unobserve(entry.place);
  entry.instance?.dispose();
  entry.instance = null;
}

/** Those that are drawn, after colours or choices changed. */
function redraw(which = [...drawn.keys()]) {
  for (const id of which) if (drawn.get(id)?.instance) draw(drawn.get(id));
}

/** All, whether or not anybody has looked at them: for paper. */
function drawAll() {
  for (const entry of drawn.values()) draw(entry);
}

/** Before a section is made anew. */
function forgetAll(place) {
  for (const [id, entry] of drawn) {
    if (!place.contains(entry.place)) continue;
    seen.unobserve(entry.place);
    forget(entry);
    drawn.delete(id);
  }
}

function fillTable(entry) {
  if (!entry.made) draw(entry);
  const { columns, rows } = entry.made;
  const shown = rows.slice(0, MOST_ROWS_BELOW);
  const more = rows.length > shown.length ? h("p", {}, `The first ${shown.length} of ${rows.length}.`) : null;
  entry.below.replaceChildren(entry.below.firstElementChild, table(entry.title, columns, shown), ...[more].filter(Boolean));
}

/** Columns of tables below charts. */
const text = (title) => ({ title });
const number = (title) => ({ title, number: true });

/** The figures of a measurement as cells: median, interval, n. */
const cells = (row) => [figure(row.stats.median, row.unit), interval(row.stats, row.unit), String(row.stats.n)];
const figureColumns = [number("median"), number("95 % interval"), number("n")];

/** A median with its interval as a mark of a custom series: a dot and a line, along x or y; without interval the samples as small dots. */
function dotAndInterval(api, params, { along, colour, ring }) {
  const [at, median, lo, hi] = [0, 1, 2, 3].map((dimension) => api.value(dimension));
  const point = (value) => (along === "x" ? api.coord([value, at]) : api.coord([at, value]));
  const children = [];
  if (finite(lo) && finite(hi)) {
    const [[x1, y1], [x2, y2]] = [point(lo), point(hi)];
    const cap = along === "x" ? [0, 4] : [4, 0];
    const line = (from, to) => ({
      type: "line",
      shape: { x1: from[0], y1: from[1], x2: to[0], y2: to[1] },
      style: { stroke: colour, lineWidth: 2 },
    });
    children.push(line([x1, y1], [x2, y2]));
    for (const [x, y] of [
      [x1, y1],
      [x2, y2],
    ])
      children.push(line([x - cap[0], y - cap[1]], [x + cap[0], y + cap[1]]));
  }
  const [cx, cy] = point(median);
  children.push({ type: "circle", shape: { cx, cy, r: 4 }, style: { fill: ring ? "transparent" : colour, stroke: colour, lineWidth: 2 } });
  return { type: "group", children };
}
