// Charts of how a search went and how a program scales. No speed-up without what its base took (Hoefler and Belli, SC'15, rule 1).
"use strict";

const MOST_SERIES = 6;

/** What the search found, in the order it tried. */
function trajectory(report, byTime, colours) {
  const { subject } = report;
  const order = subject.inOrder;
  const began = order.find((row) => finite(row.started))?.started ?? 0;
  const x = (row, at) => (byTime ? (row.ended ?? row.started) - began : at + 1);
  const points = [],
    line = [],
    improved = [],
    failed = [];
  order.forEach((row, at) => {
    if (!row.ok) return void (row.status === "ok" || failed.push({ row, x: x(row, at) }));
    points.push({ row, x: x(row, at) });
    const last = improved.at(-1);
    if (!last || subject.isBetter(row.stats.median, last.row.stats.median)) improved.push({ row, x: x(row, at), at: at + 1 });
  });
  improved.forEach(({ row, x: at }) => line.push([at, row.stats.median]));
  const [, end] = extent([...points, ...failed].map((point) => point.x));
  if (line.length) line.push([end, line.at(-1)[1]]);
  const shown = sampled(points, MOST_POINTS),
    misses = sampled(failed, 1000);
  const figures = points.map(({ row }) => row.stats.median);
  const [least, most] = extent(figures);
  const wide = least > 0 && most / least > 30;
  const time = byTime ? scaleOf("s", end) : null;
  return {
    marks: shown.length + misses.length,
    height: 320,
    says: `${points.length} measured${failed.length ? `, ${failed.length} failed (✕ at the foot)` : ""}; ${improved.length === 1 ? "the first remained the best" : `the best changed ${improved.length - 1} times, last at number ${improved.at(-1)?.at ?? "–"} of ${order.length}`}. Points are medians, the line the best so far; ${direction(subject)}.`,
    columns: [number("number"), text("new best"), ...figureColumns],
    rows: improved.map(({ row, at }) => [String(at), row.label, ...cells(row)]),
    option: {
      grid: { ...common(colours).grid, top: 12 },
      xAxis: axis(colours, {
        type: "value",
        min: byTime ? 0 : 1,
        max: end,
        name: byTime ? "since the first began" : "measurements, in the order they began",
        minInterval: byTime ? 0 : 1,
        axisLabel: { formatter: (value) => (byTime ? duration(value) : String(value)) },
      }),
      yAxis: [
        { ...figureAxis(colours, figureName(subject), subject.unit, figures), type: wide ? "log" : "value" },
        { type: "value", min: 0, max: 1, show: false },
      ],
      tooltip: {
        ...common(colours).tooltip,
        formatter: ({ seriesIndex, dataIndex }) =>
          tipOf([shown, improved, misses][seriesIndex][Math.min(dataIndex, [shown, improved, misses][seriesIndex].length - 1)].row),
      },
      series: [
        {
          type: "scatter",
          data: shown.map(({ row, x: at }) => [at, row.stats.median]),
          symbolSize: 5,
          itemStyle: { color: colours.muted, opacity: 0.6 },
        },
        {
          type: "line",
          step: "end",
          data: line,
          symbol: "circle",
          symbolSize: 5,
          lineStyle: { width: 2, color: colours.series[0] },
          itemStyle: { color: colours.series[0] },
          z: 3,
        },
        {
          type: "scatter",
          yAxisIndex: 1,
          data: misses.map(({ x: at }) => [at, 0.015]),
          symbol: "path://M0,1L1,0L5,4L9,0L10,1L6,5L10,9L9,10L5,6L1,10L0,9L4,5Z",
          symbolSize: 7,
          itemStyle: { color: colours.bad },
        },
      ],
    },
  };
}

/** The series of a scaling chart: measurements that differ in how much works at a time, and in what follows from that. */
function scalingSeries(subject, over) {
  const rows = subject.ok.filter((row) => over.of(row) > 0);
  const follows = ({ name }) =>
    [...grouped(rows, over.of).values()].every((same) => new Set(same.map((row) => word(row.given[name]))).size === 1);
  const others = subject.dimensions.filter((parameter) => parameter.name !== over.name && !follows(parameter));
  const grows = subject.dimensions.some((parameter) => parameter.name !== over.name && parameter.numeric && follows(parameter));
  // No speed-up from one version of the script to another.
  const several = new Set(rows.map((row) => row.script)).size > 1;
  const version = (row) => (several ? [`script ${row.script + 1}`] : []);
  const called = (row) => [...others.map(({ name }) => `${name}=${word(row.given[name])}`), ...version(row)].join(" ");
  const all = [...grouped(rows, called).entries()];
  const series = all.filter(([, own]) => new Set(own.map(over.of)).size > 1);
  // A search has tried too much to be shown in lines: then what is found at each number is compared. `ok` begins with the best.
  const ofBest = rows.filter((row) => row.script === rows[0]?.script);
  const best = ["the best at each", [...grouped(ofBest, over.of).values()].map(([first]) => first)];
  return { grows: grows || /weak/i.test(subject.name), series: series.length <= MOST_SERIES ? series : [best] };
}

/** Speed-up over the fewest, with the ideal. */
function scaling(report, over, weak, colours) {
  const { subject } = report;
  const { series } = scalingSeries(subject, over);
  const drawnSeries = series.map(([name, rows]) => {
    const [least] = extent(rows.map(over.of));
    const bases = rows.filter((row) => over.of(row) === least);
    const base = bases[Math.floor(bases.length / 2)];
    const points = rows
      .map((row) => {
        const p = over.of(row);
        const gain = speedup(row, base);
        const factor = weak ? p / least : 1;
        return (
          gain && {
            row,
            p,
            ratio: gain.ratio * factor,
            lo: gain.lo === undefined ? NaN : gain.lo * factor,
            hi: gain.hi === undefined ? NaN : gain.hi * factor,
            efficiency: (gain.ratio * factor * least) / p,
          }
        );
      })
      .filter(Boolean)
      .sort((a, b) => a.p - b.p);
    const middle = [...grouped(points, ({ p }) => p)].map(([p, same]) => [
      p,
      quantile(
        same.map(({ ratio }) => ratio).sort((a, b) => a - b),
        0.5,
      ),
    ]);
    return { name: name || subject.name, least, base, points, middle };
  });
  const all = drawnSeries.flatMap(({ points }) => points);
  const counts = [...new Set(all.map(({ p }) => p))].sort((a, b) => a - b);
  const least = counts[0] ?? 1;
  const wide = counts.length > 1 && counts.at(-1) / least >= 8;
  const bases = drawnSeries.map(
    ({ name, base, least: at }) =>
      `${drawnSeries.length > 1 ? `${short(name, 30)}: ` : ""}${inFull(base.stats, base.unit)}, at ${over.name} = ${at}`,
  );
  const scale = (name, minInterval) =>
    axis(colours, { type: wide ? "log" : "value", logBase: 2, min: wide ? undefined : 0, minInterval, name });
  return {
    marks: all.length,
    height: 360,
    says: `${weak ? "Scaled speed-up: the work grows with it" : "Speed-up: the same work"}. The base is ${bases.join("; ")}. Lines between are the ends of both intervals against each other; the dashed line is the ideal; more is better.`,
    columns: [text("series"), number(over.name), ...figureColumns, number("speed-up"), number("efficiency")],
    rows: drawnSeries.flatMap(({ name, base, points }) =>
      points.map(({ row, p, ratio, lo, hi, efficiency }) => [
        name,
        String(p),
        ...cells(row),
        row === base ? "the base" : finite(lo) ? `${times(ratio)} [${lo.toFixed(2)}, ${hi.toFixed(2)}]` : times(ratio),
        `${(100 * efficiency).toFixed(0)} %`,
      ]),
    ),
    option: {
      legend: {
        ...common(colours).legend,
        data: [...(drawnSeries.length > 1 ? drawnSeries.map(({ name }) => ({ name })) : []), { name: "ideal" }],
      },
      grid: common(colours).grid,
      xAxis: { ...scale(over.name, 1), max: counts.at(-1) },
      yAxis: scale(weak ? "scaled speed-up (×)" : "speed-up (×)"),
      tooltip: {
        ...common(colours).tooltip,
        formatter: ({ seriesId, dataIndex }) => {
          const [kind, at] = (seriesId || "").split(":");
          const point = kind === "points" ? drawnSeries[at].points[dataIndex] : null;
          return point
            ? h(
                "div",
                {},
                tipOf(point.row),
                h(
                  "div",
                  {},
                  `${times(point.ratio)} over ${figure(drawnSeries[at].base.stats.median, subject.unit)}, efficiency ${(100 * point.efficiency).toFixed(0)} %`,
                ),
              )
            : null;
        },
      },
      series: [
        {
          type: "line",
          id: "ideal",
          name: "ideal",
          data: counts.map((p) => [p, p / least]),
          symbol: "none",
          lineStyle: { type: "dashed", color: colours.muted, width: 1.5 },
          itemStyle: { color: colours.muted },
        },
        ...drawnSeries.map(({ name, middle }, at) => ({
          type: "line",
          id: `line:${at}`,
          name,
          data: middle,
          symbol: "none",
          lineStyle: { width: 1.5, color: colours.series[at] },
          itemStyle: { color: colours.series[at] },
        })),
        ...drawnSeries.map(({ name, points }, at) => ({
          type: "custom",
          id: `points:${at}`,
          name,
          data: points.map(({ p, ratio, lo, hi }) => [p, ratio, lo, hi]),
          encode: { x: 0, y: [1, 2, 3] },
          z: 4,
          renderItem: (params, api) => dotAndInterval(api, params, { along: "y", colour: colours.series[at], ring: !finite(api.value(2)) }),
        })),
      ],
    },
  };
}
