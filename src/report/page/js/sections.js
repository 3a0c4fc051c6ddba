// The charts of each section: from measurements to options of ECharts. Each says its n, its units, which way is better and
// what a speed-up is over; no bar stands without an interval, no line joins what has no order (Hoefler and Belli, SC'15).
"use strict";

const MOST_BOXES = 24;
const MOST_LINES = 800;
const MOST_POINTS = 4000;
const MOST_BARS = 5000;
const SHOWN_AT_FIRST = 8;
const MOST_SERIES = 6;
const CROWD = 120; // more points than that hide each other's intervals

/** What a subject's figures are. */
const figureName = (subject) => subject.metric || "figure";
const direction = (subject) => better(subject.better);
const sentence = (words) => words[0].toUpperCase() + words.slice(1);

/** The measurements that were chosen in the table, or the best and the base. */
function chosenOf(report) {
  const { subject, chosen } = report;
  const own = subject.ok.filter((row) => chosen.has(row));
  if (own.length > 0) return { rows: own.slice(0, MOST_BOXES), why: own.length > MOST_BOXES ? `The first ${MOST_BOXES} of ${own.length} chosen` : `${own.length} chosen in the table` };
  const best = subject.ok.slice(0, SHOWN_AT_FIRST);
  const rows = subject.base && !best.includes(subject.base) ? [...best, subject.base] : best;
  const all = rows.length === subject.ok.length;
  return { rows, why: all ? `All ${rows.length}` : `The best ${best.length} of ${subject.ok.length}${rows.length > best.length ? " and the base" : ""}; choose others in the table` };
}

const short = (label, most = 52) => (label.length > most ? `${label.slice(0, most - 1)}…` : label);
const numbered = (row) => `${short(row.brief)}${row === row.subject.base ? " (base)" : ""}, n = ${row.stats.n}`;

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
    if (stats.lo === undefined) return { type: "group", children: [line(x(stats.median), x(stats.median), height / 2, { stroke: colours.ink, lineWidth: 1, lineDash: [2, 2] })] };
    const box = (from, to, h, style) => ({ type: "rect", shape: { x: x(from), y: y - h / 2, width: Math.max(1, x(to) - x(from)), height: h }, style });
    return { type: "group", children: [
      box(stats.q1, stats.q3, height, { fill: "transparent", stroke: colours.muted, lineWidth: 1 }),
      box(stats.lo, stats.hi, height, { fill: colours.accent, opacity: 0.28 }),
      line(x(stats.median), x(stats.median), height / 2 + 2, { stroke: colours.ink, lineWidth: 2 }),
    ] };
  };
  const all = rows.flatMap((row) => [row.stats.min, row.stats.max]);
  return {
    marks: points.length, height: 70 + 30 * rows.length,
    says: `${why}. Points are runs, boxes go from quartile to quartile, the band is the 95 % interval of the median, the line the median; below n = 7 the points alone. ${sentence(direction(subject))}.`,
    columns: [text("variant"), ...figureColumns, number("min"), number("max")],
    rows: rows.map((row) => [row.label, ...cells(row), figure(row.stats.min, row.unit), figure(row.stats.max, row.unit)]),
    option: {
      grid: { ...common(colours).grid, top: 8 },
      xAxis: figureAxis(colours, `${figureName(subject)}, ${direction(subject)}`, subject.unit, all),
      yAxis: axis(colours, { type: "category", data: labels, inverse: true, axisLabel: { color: colours.ink, width: Math.min(340, innerWidth * 0.36), overflow: "truncate" } }),
      tooltip: { ...common(colours).tooltip, formatter: ({ data, seriesIndex }) => tipOf(rows[seriesIndex === 0 ? data[0] : data[1]]) },
      series: [
        { type: "custom", renderItem: render, data: rows.map((row, at) => [at, row.stats.min, row.stats.max]), encode: { x: [1, 2], y: 0 }, z: 2 },
        { type: "custom", data: points, encode: { x: 0, y: 1 }, z: 3, renderItem: (params, api) => {
          const [cx, cy] = api.coord([api.value(0), api.value(1)]);
          return { type: "circle", shape: { cx, cy: cy + api.value(2) * Math.min(20, api.size([0, 1])[1] * 0.6), r: 2 }, style: { fill: colours.series[0], opacity: 0.65 } };
        } },
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
    return sampled(sorted.map((value, at) => [value, (at + 1) / sorted.length]), 500);
  });
  const ticks = [0.05, 0.25, 0.5, 0.75, 0.95];
  return {
    marks: lines.reduce((sum, line) => sum + line.length, 0), height: 320,
    says: `${why}${shown.length < rows.length ? `, ${shown.length} of them drawn` : ""}. How many of the runs took no more than that: steep is steady, steps are two kinds of run. ${sentence(direction(subject))}.`,
    columns: [text("variant"), number("n"), ...ticks.map((p) => number(`${100 * p} %`))],
    rows: shown.map((row) => { const sorted = [...row.samples].sort((a, b) => a - b); return [row.label, String(row.stats.n), ...ticks.map((p) => figure(quantile(sorted, p), row.unit))]; }),
    option: {
      legend: { ...common(colours).legend, data: shown.map((row, at) => ({ name: `${at + 1}. ${numbered(row)}` })) },
      grid: common(colours).grid,
      xAxis: figureAxis(colours, `${figureName(subject)}, ${direction(subject)}`, subject.unit, lines.flat().map(([value]) => value)),
      yAxis: axis(colours, { type: "value", min: 0, max: 1, name: "part of the runs", axisLabel: { formatter: (p) => `${Math.round(100 * p)} %` } }),
      tooltip: { ...common(colours).tooltip, trigger: "item", formatter: ({ seriesIndex, data }) => tip(shown[seriesIndex].label, `${Math.round(100 * data[1])} % of ${shown[seriesIndex].stats.n} runs: at most ${figure(data[0], subject.unit)}`) },
      series: lines.map((data, at) => ({ type: "line", step: "end", name: `${at + 1}. ${numbered(shown[at])}`, data, symbol: "circle", symbolSize: 4, lineStyle: { width: 1.5, type: at >= 8 ? "dashed" : "solid" } })),
    },
  };
}

/** The figure of each value of one parameter: with intervals, joined only where values are numbers. */
function effect(report, parameter, colours) {
  const { subject } = report;
  const having = subject.ok.filter((row) => row.given[parameter.name] !== undefined);
  const crowd = having.length > CROWD;
  const place = (row) => (parameter.numeric ? row.given[parameter.name] : parameter.values.map(word).indexOf(word(row.given[parameter.name])));
  const item = (row) => [place(row), row.stats.median, row.stats.lo ?? NaN, row.stats.hi ?? NaN];
  const best = parameter.values.map((value) => having.find((row) => word(row.given[parameter.name]) === word(value))).filter(Boolean);
  const rows = crowd ? best : having; // with their intervals
  const faint = crowd ? sampled(having, MOST_POINTS) : [];
  const log = parameter.numeric && parameter.values[0] > 0 && parameter.values.at(-1) / parameter.values[0] >= 16;
  const samples = sampled(rows.filter((row) => row.stats.lo === undefined).flatMap((row) => row.samples.map((value) => [place(row), value])), MOST_POINTS);
  return {
    marks: rows.length + samples.length + faint.length, height: 320,
    says: `${crowd ? `The best of each value with its 95 % interval; faint points are ${faint.length < having.length ? `${faint.length} of the ` : "all "}${having.length} medians` : "Medians with their 95 % intervals"}; below n = 7 the runs themselves. ${parameter.numeric ? "The line joins the best of each value. " : ""}${sentence(direction(subject))}.`,
    columns: [text(parameter.name), text("best variant"), ...figureColumns],
    rows: best.map((row) => [word(row.given[parameter.name]), row.label, ...cells(row)]),
    option: {
      grid: { ...common(colours).grid, top: 12 },
      xAxis: axis(colours, parameter.numeric ? { type: log ? "log" : "value", logBase: 2, scale: true, name: parameter.name } : { type: "category", data: parameter.values.map(word), name: parameter.name }),
      yAxis: figureAxis(colours, figureName(subject), subject.unit, having.map((row) => row.stats.median)),
      tooltip: { ...common(colours).tooltip, formatter: ({ seriesIndex, dataIndex }) => (seriesIndex === 2 ? null : tipOf([rows, best, [], faint][seriesIndex][dataIndex])) },
      series: [
        { type: "custom", data: rows.map(item), encode: { x: 0, y: [1, 2, 3] }, z: 3, renderItem: (params, api) => dotAndInterval(api, params, { along: "y", colour: colours.series[0], ring: rows[params.dataIndex]?.stats.lo === undefined }) },
        { type: "line", data: parameter.numeric ? best.map((row) => [place(row), row.stats.median]) : [], symbol: "none", lineStyle: { color: colours.accent, width: 1.5 }, z: 1 },
        { type: "scatter", data: samples, symbolSize: 4, itemStyle: { color: colours.muted, opacity: 0.7 }, z: 2, silent: true },
        { type: "scatter", data: faint.map((row) => [place(row), row.stats.median]), symbolSize: 4, itemStyle: { color: colours.muted, opacity: 0.35 }, z: 1 },
      ],
    },
  };
}

/** The best figure of each pair of values. */
function heat(report, across, down, colours) {
  const { subject } = report;
  const places = grouped(subject.rows.filter((row) => row.given[across.name] !== undefined && row.given[down.name] !== undefined), (row) => `${word(row.given[across.name])}\n${word(row.given[down.name])}`);
  const found = [];
  across.values.forEach((x, at) => down.values.forEach((y, below) => {
    const rows = places.get(`${word(x)}\n${word(y)}`);
    if (!rows) return;
    const best = rows.filter((row) => row.ok).reduce((a, b) => (a && !subject.isBetter(b.stats.median, a.stats.median) ? a : b), null);
    found.push({ at, below, x, y, best, measured: rows.length, failed: rows.filter((row) => row.status !== "ok").length, failure: rows.find((row) => row.status !== "ok")?.failure });
  }));
  const good = found.filter(({ best }) => best);
  const bad = found.filter(({ best }) => !best);
  const figures = good.map(({ best }) => best.stats.median);
  const scale = scaleOf(subject.unit, figures.length ? figures[0] : 0);
  const [least, most] = extent(figures);
  const ramp = subject.better === "more" ? colours.ramp : [...colours.ramp].reverse();
  const labelled = found.length <= 150 && across.values.length <= 12;
  return {
    marks: found.length, height: Math.min(720, 120 + 30 * down.values.length),
    says: `Median ${figureName(subject)} of the best at each place${subject.dimensions.length > 2 ? ", whatever the other parameters" : ""}; ${colours.best} is better (${direction(subject)}); ✕: all failed. Intervals and n are in the tips and the table.`,
    columns: [text(across.name), text(down.name), text("best variant"), ...figureColumns, number("measured"), number("failed")],
    rows: found.map(({ x, y, best, measured, failed }) => [word(x), word(y), ...(best ? [best.label, ...cells(best)] : ["all failed", "–", "–", "–"]), String(measured), String(failed)]),
    option: {
      grid: { ...common(colours).grid, top: 8, bottom: 52 },
      xAxis: axis(colours, { type: "category", data: across.values.map(word), name: across.name, splitArea: { show: false } }),
      yAxis: axis(colours, { type: "category", data: down.values.map(word), name: down.name, inverse: false }),
      visualMap: { type: "continuous", min: least, max: most, calculable: true, orient: "horizontal", left: "center", bottom: 0, itemHeight: 180, itemWidth: 12, inRange: { color: ramp }, textStyle: { color: colours.ink }, formatter: (value) => scale.text(Number(value)), seriesIndex: 0, dimension: 2 },
      tooltip: { ...common(colours).tooltip, formatter: ({ seriesIndex, dataIndex }) => {
        const place = (seriesIndex === 0 ? good : bad)[dataIndex];
        return place.best ? h("div", {}, tipOf(place.best), h("div", {}, `${place.measured} measured here${place.failed ? `, ${place.failed} failed` : ""}`)) : tip(`${across.name}=${word(place.x)} ${down.name}=${word(place.y)}`, place.failure);
      } },
      series: [
        { type: "heatmap", data: good.map(({ at, below, best }) => ({ value: [at, below, best.stats.median], label: { color: textOn(best.stats.median, least, most, subject.better, colours) } })), label: { show: labelled, formatter: ({ value }) => scale.digits(value[2]), fontSize: 11 }, itemStyle: { borderColor: colours.panel, borderWidth: 1 } },
        { type: "scatter", data: bad.map(({ at, below }) => [at, below]), symbol: "path://M0,1L1,0L5,4L9,0L10,1L6,5L10,9L9,10L5,6L1,10L0,9L4,5Z", symbolSize: 11, itemStyle: { color: colours.bad } },
      ],
    },
  };
}

/** Light or dark, whichever is read better on the ramp there. */
function textOn(value, least, most, way, colours) {
  const part = most > least ? (value - least) / (most - least) : 1;
  const goodness = way === "more" ? part : 1 - part;
  return colours[goodness > 0.5 ? "ramp-ink-good" : "ramp-ink-bad"];
}

/** All parameters side by side: a line for each measurement. */
function parallel(report, colours) {
  const { subject } = report;
  const dimensions = subject.dimensions.slice(0, 9);
  const best = subject.ok.slice(0, MOST_LINES / 2);
  const rows = [...best, ...sampled(subject.ok.slice(MOST_LINES / 2), MOST_LINES / 2)].reverse(); // the best drawn last
  const figures = rows.map((row) => row.stats.median);
  const written = axisOf(subject.unit, figures);
  const label = { color: colours.ink, textBorderColor: colours.panel, textBorderWidth: 3 };
  const style = { nameTextStyle: { color: colours.ink }, axisLine: { lineStyle: { color: colours.muted } }, axisTick: { show: false }, axisLabel: label };
  const value = (row, { name, numeric, values }) => (row.given[name] === undefined ? "-" : numeric ? row.given[name] : values.map(word).indexOf(word(row.given[name])));
  const [least, most] = extent(figures);
  return {
    marks: rows.length * 4, height: 360,
    says: `A line is a measurement that went well${rows.length < subject.ok.length ? ` (the best ${best.length} and every k-th of the others: ${rows.length} of ${subject.ok.length})` : ` (${rows.length})`}, the thick one the best; ${colours.best} is better (${direction(subject)}). Drag along an axis to pick a range. Intervals are in the table above.`,
    columns: [...dimensions.map(({ name }) => text(name)), ...figureColumns],
    rows: [...rows].reverse().map((row) => [...dimensions.map(({ name }) => word(row.given[name])), ...cells(row)]),
    option: {
      parallel: { left: 50, right: 80, top: 40, bottom: 24, parallelAxisDefault: style },
      parallelAxis: [
        ...dimensions.map((dimension, dim) => ({ dim, name: short(dimension.name, 18), ...style, ...(dimension.numeric ? { type: "value", scale: true } : { type: "category", data: dimension.values.map((item) => short(word(item), 24)) }) })),
        { dim: dimensions.length, name: written.title(figureName(subject)), ...style, type: "value", scale: true, inverse: subject.better === "less", axisLabel: { ...label, formatter: written.number } },
      ],
      visualMap: { show: false, min: least, max: most > least ? most : least + 1, dimension: dimensions.length, inRange: { color: subject.better === "more" ? colours.ramp : [...colours.ramp].reverse() } },
      tooltip: { ...common(colours).tooltip, formatter: ({ dataIndex }) => tipOf(rows[dataIndex]) },
      series: [{ type: "parallel", data: rows.map((row) => ({ value: [...dimensions.map((dimension) => value(row, dimension)), row.stats.median], lineStyle: { width: row === subject.best ? 3.5 : 1.2, opacity: row === subject.best ? 1 : 0.55 } })), progressive: 0 }],
    },
  };
}

/** What the search found, in the order it tried. */
function trajectory(report, byTime, colours) {
  const { subject } = report;
  const order = subject.inOrder;
  const began = order.find((row) => finite(row.started))?.started ?? 0;
  const x = (row, at) => (byTime ? (row.ended ?? row.started) - began : at + 1);
  const points = [], line = [], improved = [], failed = [];
  order.forEach((row, at) => {
    if (!row.ok) return void (row.status === "ok" || failed.push({ row, x: x(row, at) }));
    points.push({ row, x: x(row, at) });
    const last = improved.at(-1);
    if (!last || subject.isBetter(row.stats.median, last.row.stats.median)) improved.push({ row, x: x(row, at), at: at + 1 });
  });
  improved.forEach(({ row, x: at }) => line.push([at, row.stats.median]));
  const [, end] = extent([...points, ...failed].map((point) => point.x));
  if (line.length) line.push([end, line.at(-1)[1]]);
  const shown = sampled(points, MOST_POINTS), misses = sampled(failed, 1000);
  const figures = points.map(({ row }) => row.stats.median);
  const [least, most] = extent(figures);
  const wide = least > 0 && most / least > 30;
  const time = byTime ? scaleOf("s", end) : null;
  return {
    marks: shown.length + misses.length, height: 320,
    says: `${points.length} measured${failed.length ? `, ${failed.length} failed (✕ at the foot)` : ""}; ${improved.length === 1 ? "the first remained the best" : `the best changed ${improved.length - 1} times, last at number ${improved.at(-1)?.at ?? "–"} of ${order.length}`}. Points are medians, the line the best so far; ${direction(subject)}.`,
    columns: [number("number"), text("new best"), ...figureColumns],
    rows: improved.map(({ row, at }) => [String(at), row.label, ...cells(row)]),
    option: {
      grid: { ...common(colours).grid, top: 12 },
      xAxis: axis(colours, { type: "value", min: byTime ? 0 : 1, max: end, name: byTime ? "since the first began" : "measurements, in the order they began", minInterval: byTime ? 0 : 1, axisLabel: { formatter: (value) => (byTime ? duration(value) : String(value)) } }),
      yAxis: [{ ...figureAxis(colours, figureName(subject), subject.unit, figures), type: wide ? "log" : "value" }, { type: "value", min: 0, max: 1, show: false }],
      tooltip: { ...common(colours).tooltip, formatter: ({ seriesIndex, dataIndex }) => tipOf([shown, improved, misses][seriesIndex][Math.min(dataIndex, [shown, improved, misses][seriesIndex].length - 1)].row) },
      series: [
        { type: "scatter", data: shown.map(({ row, x: at }) => [at, row.stats.median]), symbolSize: 5, itemStyle: { color: colours.muted, opacity: 0.6 } },
        { type: "line", step: "end", data: line, symbol: "circle", symbolSize: 5, lineStyle: { width: 2, color: colours.series[0] }, itemStyle: { color: colours.series[0] }, z: 3 },
        { type: "scatter", yAxisIndex: 1, data: misses.map(({ x: at }) => [at, 0.015]), symbol: "path://M0,1L1,0L5,4L9,0L10,1L6,5L10,9L9,10L5,6L1,10L0,9L4,5Z", symbolSize: 7, itemStyle: { color: colours.bad } },
      ],
    },
  };
}

/** The series of a scaling chart: measurements that differ in how much works at a time, and in what follows from that. */
function scalingSeries(subject, over) {
  const rows = subject.ok.filter((row) => over.of(row) > 0);
  const follows = ({ name }) => [...grouped(rows, over.of).values()].every((same) => new Set(same.map((row) => word(row.given[name]))).size === 1);
  const others = subject.dimensions.filter((parameter) => parameter.name !== over.name && !follows(parameter));
  const grows = subject.dimensions.some((parameter) => parameter.name !== over.name && parameter.numeric && follows(parameter));
  const all = [...grouped(rows, (row) => others.map(({ name }) => `${name}=${word(row.given[name])}`).join(" ")).entries()];
  const series = all.filter(([, own]) => new Set(own.map(over.of)).size > 1);
  // A search has tried too much to be shown in lines: then what is found at each number is compared. `ok` begins with the best.
  const best = ["the best at each", [...grouped(rows, over.of).values()].map(([first]) => first)];
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
    const points = rows.map((row) => {
      const p = over.of(row);
      const gain = speedup(row, base);
      const factor = weak ? p / least : 1;
      return gain && { row, p, ratio: gain.ratio * factor, lo: gain.lo === undefined ? NaN : gain.lo * factor, hi: gain.hi === undefined ? NaN : gain.hi * factor, efficiency: (gain.ratio * factor * least) / p };
    }).filter(Boolean).sort((a, b) => a.p - b.p);
    const middle = [...grouped(points, ({ p }) => p)].map(([p, same]) => [p, quantile(same.map(({ ratio }) => ratio).sort((a, b) => a - b), 0.5)]);
    return { name: name || subject.name, least, base, points, middle };
  });
  const all = drawnSeries.flatMap(({ points }) => points);
  const counts = [...new Set(all.map(({ p }) => p))].sort((a, b) => a - b);
  const least = counts[0] ?? 1;
  const wide = counts.length > 1 && counts.at(-1) / least >= 8;
  const bases = drawnSeries.map(({ name, base, least: at }) => `${drawnSeries.length > 1 ? `${short(name, 30)}: ` : ""}${inFull(base.stats, base.unit)}, at ${over.name} = ${at}`);
  const scale = (name, minInterval) => axis(colours, { type: wide ? "log" : "value", logBase: 2, min: wide ? undefined : 0, minInterval, name });
  return {
    marks: all.length, height: 360,
    says: `${weak ? "Scaled speed-up: the work grows with it" : "Speed-up: the same work"}. The base is ${bases.join("; ")}. Lines between are the ends of both intervals against each other; the dashed line is the ideal; more is better.`,
    columns: [text("series"), number(over.name), ...figureColumns, number("speed-up"), number("efficiency")],
    rows: drawnSeries.flatMap(({ name, base, points }) => points.map(({ row, p, ratio, lo, hi, efficiency }) => [name, String(p), ...cells(row), row === base ? "the base" : finite(lo) ? `${times(ratio)} [${lo.toFixed(2)}, ${hi.toFixed(2)}]` : times(ratio), `${(100 * efficiency).toFixed(0)} %`])),
    option: {
      legend: { ...common(colours).legend, data: [...(drawnSeries.length > 1 ? drawnSeries.map(({ name }) => ({ name })) : []), { name: "ideal" }] },
      grid: common(colours).grid,
      xAxis: { ...scale(over.name, 1), max: counts.at(-1) }, yAxis: scale(weak ? "scaled speed-up (×)" : "speed-up (×)"),
      tooltip: { ...common(colours).tooltip, formatter: ({ seriesId, dataIndex }) => { const [kind, at] = (seriesId || "").split(":"); const point = kind === "points" ? drawnSeries[at].points[dataIndex] : null; return point ? h("div", {}, tipOf(point.row), h("div", {}, `${times(point.ratio)} over ${figure(drawnSeries[at].base.stats.median, subject.unit)}, efficiency ${(100 * point.efficiency).toFixed(0)} %`)) : null; } },
      series: [
        { type: "line", id: "ideal", name: "ideal", data: counts.map((p) => [p, p / least]), symbol: "none", lineStyle: { type: "dashed", color: colours.muted, width: 1.5 }, itemStyle: { color: colours.muted } },
        ...drawnSeries.map(({ name, middle }, at) => ({ type: "line", id: `line:${at}`, name, data: middle, symbol: "none", lineStyle: { width: 1.5, color: colours.series[at] }, itemStyle: { color: colours.series[at] } })),
        ...drawnSeries.map(({ name, points }, at) => ({ type: "custom", id: `points:${at}`, name, data: points.map(({ p, ratio, lo, hi }) => [p, ratio, lo, hi]), encode: { x: 0, y: [1, 2, 3] }, z: 4, renderItem: (params, api) => dotAndInterval(api, params, { along: "y", colour: colours.series[at], ring: !finite(api.value(2)) }) })),
      ],
    },
  };
}

/** The ratios of one comparison with their intervals. */
function ratios(comparison, colours) {
  const rivals = comparison.variants.filter(({ ratio }) => finite(ratio));
  const [base] = comparison.variants;
  const colour = ({ verdict }) => (verdict === "faster" ? colours.good : verdict === "slower" ? colours.bad : colours.muted);
  const band = [1 / (1 + comparison.min_effect), 1 + comparison.min_effect];
  const ends = [...band, ...rivals.flatMap(({ ratio, ci }) => (ci ? [ratio, ci.lo, ci.hi] : [ratio]))];
  const [least, most] = extent(ends);
  const room = (most - least) * 0.06;
  const said = ({ name, rounds }) => `${short(name)}, ${rounds} rounds`;
  return {
    marks: rivals.length, height: 80 + 30 * rivals.length,
    says: `Right of 1 is better than ${base?.name === "base" ? "the base" : `the base, ${base?.name}`}${base?.stats ? ` (${inFull(base.stats, base.unit)})` : ""}. Lines are 95 % intervals of the ratio for all variants together; within the band (${(100 * comparison.min_effect).toFixed(1)} %) a difference does not matter.`,
    columns: [text("variant"), text("verdict"), number("ratio"), number("95 % interval"), number("rounds")],
    rows: rivals.map(({ name, verdict, ratio, ci, rounds }) => [name, verdict, ratio.toFixed(3), ci ? `[${ci.lo.toFixed(3)}, ${ci.hi.toFixed(3)}]` : "too few rounds", String(rounds)]),
    option: {
      grid: { ...common(colours).grid, top: 8 },
      xAxis: axis(colours, { type: "value", scale: true, min: least - room, max: most + room, name: "times as good as the base", axisLabel: { formatter: (x) => String(Number(x.toPrecision(4))) } }),
      yAxis: axis(colours, { type: "category", inverse: true, data: rivals.map(said), axisLabel: { color: colours.ink, width: Math.min(340, innerWidth * 0.36), overflow: "truncate" } }),
      tooltip: { ...common(colours).tooltip, formatter: ({ dataIndex }) => { const { name, verdict, ratio, ci, rounds } = rivals[dataIndex]; return tip(name, `${verdict}: ${ratio.toFixed(3)} times as good as the base`, ci ? `[${ci.lo.toFixed(3)}, ${ci.hi.toFixed(3)}], ${count(rounds, "round")}` : `${count(rounds, "round")}, too few for an interval`); } },
      series: [{
        type: "custom", encode: { x: [1, 2, 3], y: 0 }, data: rivals.map(({ ratio, ci }, at) => [at, ratio, ci?.lo ?? NaN, ci?.hi ?? NaN]),
        renderItem: (params, api) => dotAndInterval(api, params, { along: "x", colour: colour(rivals[api.value(0)]), ring: !finite(api.value(2)) }),
        markLine: { silent: true, symbol: "none", label: { show: false }, lineStyle: { color: colours.ink, width: 1, type: "solid" }, data: [{ xAxis: 1 }] },
        markArea: { silent: true, itemStyle: { color: colours.muted, opacity: 0.14 }, data: [[{ xAxis: band[0] }, { xAxis: band[1] }]] },
      }],
    },
  };
}

/** Who ran what where, when. */
function timeline(tasks, colours) {
  const lanes = [...new Set(tasks.flatMap((task) => task.lanes))].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const place = new Map(lanes.map((lane, at) => [lane, at]));
  const kinds = ["measure", "compare", "compile", "exec", "call"];
  const largest = tasks.length > MOST_BARS ? [...tasks].sort((a, b) => b.to - b.from - (a.to - a.from)).slice(0, MOST_BARS) : tasks;
  const [began] = extent(tasks.map((task) => task.from));
  const [, ended] = extent(tasks.map((task) => task.to));
  const bars = largest.flatMap((task) => task.lanes.map((lane) => ({ task, value: [place.get(lane), task.from - began, task.to - began] })));
  const render = (colour) => (params, api) => {
    const [lane, from, to] = [0, 1, 2].map((dimension) => api.value(dimension));
    const [[x1, y], [x2]] = [api.coord([from, lane]), api.coord([to, lane])];
    const height = Math.min(18, api.size([0, 1])[1] * 0.7);
    const { x, y: top, width, height: tall } = params.coordSys;
    const shape = echarts.graphic.clipRectByRect({ x: x1, y: y - height / 2, width: Math.max(1.5, x2 - x1), height }, { x, y: top, width, height: tall });
    return shape && { type: "rect", shape, style: { fill: colour, stroke: colours.panel, lineWidth: x2 - x1 > 6 ? 1 : 0 } };
  };
  const series = [...kinds.map((kind, at) => [kind, colours.series[at], bars.filter(({ task }) => task.kind === kind && task.status === "ok")]), ["failed", colours.bad, bars.filter(({ task }) => task.status !== "ok")]].filter(([, , data]) => data.length > 0);
  const busy = lanes.map((lane) => tasks.filter((task) => task.lanes.includes(lane)));
  return {
    marks: bars.length, height: Math.min(900, 130 + 26 * lanes.length),
    says: `${count(tasks.length, "task")} on ${count(lanes.length, "worker")}, from ${moment(began)} for ${duration(ended - began)}${largest.length < tasks.length ? `; the ${MOST_BARS} longest are drawn` : ""}. The slider below zooms, and so does the wheel with Ctrl.`,
    columns: [text("node and worker"), number("tasks"), number("failed"), number("seconds of tasks"), number("first began"), number("last ended")],
    rows: lanes.map((lane, at) => [lane, String(busy[at].length), String(busy[at].filter(({ status }) => status !== "ok").length), busy[at].reduce((sum, { from, to }) => sum + to - from, 0).toFixed(1), ...[Math.min, Math.max].map((of, end) => moment(busy[at].map(({ from, to }) => (end ? to : from)).reduce((a, b) => of(a, b))))]),
    option: {
      legend: { ...common(colours).legend, data: series.map(([name]) => ({ name })) },
      grid: { ...common(colours).grid, bottom: 40 },
      dataZoom: [{ type: "inside", filterMode: "weakFilter", zoomOnMouseWheel: "ctrl" }, { type: "slider", filterMode: "weakFilter", height: 18, bottom: 8, borderColor: colours.line, textStyle: { color: colours.muted }, labelFormatter: duration }],
      xAxis: axis(colours, { type: "value", min: 0, max: ended - began, name: "since the first task began", axisLabel: { formatter: duration } }),
      yAxis: axis(colours, { type: "category", inverse: true, data: lanes, axisLabel: { color: colours.ink, width: Math.min(240, innerWidth * 0.3), overflow: "truncate" } }),
      tooltip: { ...common(colours).tooltip, formatter: ({ seriesIndex, dataIndex }) => { const { task } = series[seriesIndex][2][dataIndex]; return tip(`${task.kind} ${task.what}`, `${task.status}, ${duration(task.to - task.from)}, from ${moment(task.from)}`, task.lanes.join(", ")); } },
      series: series.map(([name, colour, data]) => ({ type: "custom", name, itemStyle: { color: colour }, encode: { x: [1, 2], y: 0 }, data: data.map(({ value }) => value), renderItem: render(colour) })),
    },
  };
}
