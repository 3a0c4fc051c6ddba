// Charts of single runs: those of the measurements that were chosen, or of the best. A box never stands without its interval, and below
// seven runs there are the runs alone (Hoefler and Belli, SC'15, rule 5).
"use strict";

const MOST_BOXES = 24;
const SHOWN_AT_FIRST = 8;

/** The measurements that were chosen in the table, or the best and the base. */
function chosenOf(report) {
  const { subject, chosen } = report;
  const own = subject.ok.filter((row) => chosen.has(row));
  if (own.length > 0)
    return {
      rows: own.slice(0, MOST_BOXES),
      why: own.length > MOST_BOXES ? `The first ${MOST_BOXES} of ${own.length} chosen` : `${own.length} chosen in the table`,
    };
  const best = subject.ok.slice(0, SHOWN_AT_FIRST);
  const base = baseOf(subject.best);
  const rows = base?.samples && !best.includes(base) ? [...best, base] : best;
  const all = rows.length === subject.ok.length;
  return {
    rows,
    why: all
      ? `All ${rows.length}`
      : `The best ${best.length} of ${subject.ok.length}${rows.length > best.length ? " and the base" : ""}; choose others in the table`,
  };
}

/** Box, interval and points of each of the chosen, one below the other. */
function boxes(report, colours) {
  const { subject } = report;
  const { rows, why } = chosenOf(report);
  const labels = rows.map(numbered);
  const points = rows.flatMap((row, at) => sampled(row.samples, 200).map((value, run) => [value, at, (((run * 0.618) % 1) - 0.5) * 0.5]));
  const render = (params, api) => {
    const at = api.value(0);
    const { stats } = rows[at];
    const y = api.coord([stats.median, at])[1];
    const height = Math.min(20, api.size([0, 1])[1] * 0.6);
    const x = (value) => api.coord([value, at])[0];
    const line = (x1, x2, dy, style) => ({ type: "line", shape: { x1, y1: y - dy, x2, y2: y + dy }, style });
    // Below seven samples there is neither box nor interval: the points are all there is to see.
    if (stats.lo === undefined)
      return {
        type: "group",
        children: [line(x(stats.median), x(stats.median), height / 2, { stroke: colours.ink, lineWidth: 1, lineDash: [2, 2] })],
      };
    const box = (from, to, h, style) => ({
      type: "rect",
      shape: { x: x(from), y: y - h / 2, width: Math.max(1, x(to) - x(from)), height: h },
      style,
    });
    return {
      type: "group",
      children: [
        box(stats.q1, stats.q3, height, { fill: "transparent", stroke: colours.muted, lineWidth: 1 }),
        box(stats.lo, stats.hi, height, { fill: colours.accent, opacity: 0.28 }),
        line(x(stats.median), x(stats.median), height / 2 + 2, { stroke: colours.ink, lineWidth: 2 }),
      ],
    };
  };
  const all = rows.flatMap((row) => [row.stats.min, row.stats.max]);
  return {
    marks: points.length,
    height: 70 + 30 * rows.length,
    says: `${why}. Points are runs, boxes go from quartile to quartile, the band is the 95 % interval of the median, the line the median; below n = 7 the points alone. ${sentence(direction(subject))}.`,
    columns: [text("variant"), ...figureColumns, number("min"), number("max")],
    rows: rows.map((row) => [row.label, ...cells(row), figure(row.stats.min, row.unit), figure(row.stats.max, row.unit)]),
    option: {
      grid: { ...common(colours).grid, top: 8 },
      xAxis: figureAxis(colours, `${figureName(subject)}, ${direction(subject)}`, subject.unit, all),
      yAxis: axis(colours, {
        type: "category",
        data: labels,
        inverse: true,
        axisLabel: { color: colours.ink, width: Math.min(340, innerWidth * 0.36), overflow: "truncate" },
      }),
      tooltip: { ...common(colours).tooltip, formatter: ({ data, seriesIndex }) => tipOf(rows[seriesIndex === 0 ? data[0] : data[1]]) },
      series: [
        {
          type: "custom",
          renderItem: render,
          data: rows.map((row, at) => [at, row.stats.min, row.stats.max]),
          encode: { x: [1, 2], y: 0 },
          z: 2,
        },
        {
          type: "custom",
          data: points,
          encode: { x: 0, y: 1 },
          z: 3,
          renderItem: (params, api) => {
            const [cx, cy] = api.coord([api.value(0), api.value(1)]);
            return {
              type: "circle",
              shape: { cx, cy: cy + api.value(2) * Math.min(20, api.size([0, 1])[1] * 0.6), r: 2 },
              style: { fill: colours.series[0], opacity: 0.65 },
            };
          },
        },
      ],
    },
  };
}

/** The part of runs that are no more than a figure. */
function ecdf(report, colours) {
  const { subject } = report;
  const { rows, why } = chosenOf(report);
  const shown = rows.filter((row) => row.samples.length > 0).slice(0, 9);
  const lines = shown.map((row) => {
    const sorted = [...row.samples].sort((a, b) => a - b);
    return sampled(
      sorted.map((value, at) => [value, (at + 1) / sorted.length]),
      500,
    );
  });
  const ticks = [0.05, 0.25, 0.5, 0.75, 0.95];
  return {
    marks: lines.reduce((sum, line) => sum + line.length, 0),
    height: 320,
    says: `${why}${shown.length < rows.length ? `, ${shown.length} of them drawn` : ""}. How many of the runs took no more than that: steep is steady, steps are two kinds of run. ${sentence(direction(subject))}.`,
    columns: [text("variant"), number("n"), ...ticks.map((p) => number(`${100 * p} %`))],
    rows: shown.map((row) => {
      const sorted = [...row.samples].sort((a, b) => a - b);
      return [row.label, String(row.stats.n), ...ticks.map((p) => figure(quantile(sorted, p), row.unit))];
    }),
    option: {
      legend: { ...common(colours).legend, data: shown.map((row, at) => ({ name: `${at + 1}. ${numbered(row)}` })) },
      grid: common(colours).grid,
      xAxis: figureAxis(
        colours,
        `${figureName(subject)}, ${direction(subject)}`,
        subject.unit,
        lines.flat().map(([value]) => value),
      ),
      yAxis: axis(colours, {
        type: "value",
        min: 0,
        max: 1,
        name: "part of the runs",
        axisLabel: { formatter: (p) => `${Math.round(100 * p)} %` },
      }),
      tooltip: {
        ...common(colours).tooltip,
        trigger: "item",
        formatter: ({ seriesIndex, data }) =>
          tip(
            shown[seriesIndex].label,
            `${Math.round(100 * data[1])} % of ${shown[seriesIndex].stats.n} runs: at most ${figure(data[0], subject.unit)}`,
          ),
      },
      series: lines.map((data, at) => ({
        type: "line",
        step: "end",
        name: `${at + 1}. ${numbered(shown[at])}`,
        data,
        symbol: "circle",
        symbolSize: 4,
        lineStyle: { width: 1.5, type: at >= 8 ? "dashed" : "solid" },
      })),
    },
  };
}
