// Charts of figures along parameters. A line joins figures only where values have an order; what failed is shown, and is no figure.
"use strict";

const MOST_LINES = 800;
const CROWD = 120; // more points than that hide each other's intervals

/** The figure of each value of one parameter: with intervals, joined only where values are numbers. */
function effect(report, parameter, colours) {
  const { subject } = report;
  const having = subject.ok.filter((row) => row.given[parameter.name] !== undefined);
  const crowd = having.length > CROWD;
  const place = (row) =>
    parameter.numeric ? row.given[parameter.name] : parameter.values.map(word).indexOf(word(row.given[parameter.name]));
  const item = (row) => [place(row), row.stats.median, row.stats.lo ?? NaN, row.stats.hi ?? NaN];
  const best = parameter.values.map((value) => having.find((row) => word(row.given[parameter.name]) === word(value))).filter(Boolean);
  const rows = crowd ? best : having; // with their intervals
  const faint = crowd ? sampled(having, MOST_POINTS) : [];
  const log = parameter.numeric && parameter.values[0] > 0 && parameter.values.at(-1) / parameter.values[0] >= 16;
  const samples = sampled(
    rows.filter((row) => row.stats.lo === undefined).flatMap((row) => row.samples.map((value) => [place(row), value])),
    MOST_POINTS,
  );
  return {
    marks: rows.length + samples.length + faint.length,
    height: 320,
    says: `${crowd ? `The best of each value with its 95 % interval; faint points are ${faint.length < having.length ? `${faint.length} of the ` : "all "}${having.length} medians` : "Medians with their 95 % intervals"}; below n = 7 the runs themselves. ${parameter.numeric ? "The line joins the best of each value. " : ""}${sentence(direction(subject))}.`,
    columns: [text(parameter.name), text("best variant"), ...figureColumns],
    rows: best.map((row) => [word(row.given[parameter.name]), row.label, ...cells(row)]),
    option: {
      grid: { ...common(colours).grid, top: 12 },
      xAxis: axis(
        colours,
        parameter.numeric
          ? { type: log ? "log" : "value", logBase: 2, scale: true, name: parameter.name }
          : { type: "category", data: parameter.values.map(word), name: parameter.name },
      ),
      yAxis: figureAxis(
        colours,
        figureName(subject),
        subject.unit,
        having.map((row) => row.stats.median),
      ),
      tooltip: {
        ...common(colours).tooltip,
        formatter: ({ seriesIndex, dataIndex }) => (seriesIndex === 2 ? null : tipOf([rows, best, [], faint][seriesIndex][dataIndex])),
      },
      series: [
        {
          type: "custom",
          data: rows.map(item),
          encode: { x: 0, y: [1, 2, 3] },
          z: 3,
          renderItem: (params, api) =>
            dotAndInterval(api, params, { along: "y", colour: colours.series[0], ring: rows[params.dataIndex]?.stats.lo === undefined }),
        },
        {
          type: "line",
          data: parameter.numeric ? best.map((row) => [place(row), row.stats.median]) : [],
          symbol: "none",
          lineStyle: { color: colours.accent, width: 1.5 },
          z: 1,
        },
        { type: "scatter", data: samples, symbolSize: 4, itemStyle: { color: colours.muted, opacity: 0.7 }, z: 2, silent: true },
        {
          type: "scatter",
          data: faint.map((row) => [place(row), row.stats.median]),
          symbolSize: 4,
          itemStyle: { color: colours.muted, opacity: 0.35 },
          z: 1,
        },
      ],
    },
  };
}

/** The best figure of each pair of values. */
function heat(report, across, down, colours) {
  const { subject } = report;
  const places = grouped(
    subject.rows.filter((row) => row.given[across.name] !== undefined && row.given[down.name] !== undefined),
    (row) => `${word(row.given[across.name])}\n${word(row.given[down.name])}`,
  );
  const found = [];
  across.values.forEach((x, at) =>
    down.values.forEach((y, below) => {
      const rows = places.get(`${word(x)}\n${word(y)}`);
      if (!rows) return;
      const best = rows.filter((row) => row.ok).reduce((a, b) => (a && !subject.isBetter(b.stats.median, a.stats.median) ? a : b), null);
      found.push({
        at,
        below,
        x,
        y,
        best,
        measured: rows.length,
        failed: rows.filter((row) => row.status !== "ok").length,
        failure: rows.find((row) => row.status !== "ok")?.failure,
      });
    }),
  );
  const good = found.filter(({ best }) => best);
  const bad = found.filter(({ best }) => !best);
  const figures = good.map(({ best }) => best.stats.median);
  const scale = scaleOf(subject.unit, figures.length ? figures[0] : 0);
  const [least, most] = extent(figures);
  const ramp = subject.better === "more" ? colours.ramp : [...colours.ramp].reverse();
  const labelled = found.length <= 150 && across.values.length <= 12;
  return {
    marks: found.length,
    height: Math.min(720, 120 + 30 * down.values.length),
    says: `Median ${figureName(subject)} of the best at each place${subject.dimensions.length > 2 ? ", whatever the other parameters" : ""}; ${colours.best} is better (${direction(subject)}); ✕: all failed. Intervals and n are in the tips and the table.`,
    columns: [text(across.name), text(down.name), text("best variant"), ...figureColumns, number("measured"), number("failed")],
    rows: found.map(({ x, y, best, measured, failed }) => [
      word(x),
      word(y),
      ...(best ? [best.label, ...cells(best)] : ["all failed", "–", "–", "–"]),
      String(measured),
      String(failed),
    ]),
    option: {
      grid: { ...common(colours).grid, top: 8, bottom: 52 },
      xAxis: axis(colours, { type: "category", data: across.values.map(word), name: across.name, splitArea: { show: false } }),
      yAxis: axis(colours, { type: "category", data: down.values.map(word), name: down.name, inverse: false }),
      visualMap: {
        type: "continuous",
        min: least,
        max: most,
        calculable: true,
        orient: "horizontal",
        left: "center",
        bottom: 0,
        itemHeight: 180,
        itemWidth: 12,
        inRange: { color: ramp },
        textStyle: { color: colours.ink },
        formatter: (value) => scale.text(Number(value)),
        seriesIndex: 0,
        dimension: 2,
      },
      tooltip: {
        ...common(colours).tooltip,
        formatter: ({ seriesIndex, dataIndex }) => {
          const place = (seriesIndex === 0 ? good : bad)[dataIndex];
          return place.best
            ? h(
                "div",
                {},
                tipOf(place.best),
                h("div", {}, `${place.measured} measured here${place.failed ? `, ${place.failed} failed` : ""}`),
              )
            : tip(`${across.name}=${word(place.x)} ${down.name}=${word(place.y)}`, place.failure);
        },
      },
      series: [
        {
          type: "heatmap",
          data: good.map(({ at, below, best }) => ({
            value: [at, below, best.stats.median],
            label: { color: textOn(best.stats.median, least, most, subject.better, colours) },
          })),
          label: { show: labelled, formatter: ({ value }) => scale.digits(value[2]), fontSize: 11 },
          itemStyle: { borderColor: colours.panel, borderWidth: 1 },
        },
        {
          type: "scatter",
          data: bad.map(({ at, below }) => [at, below]),
          symbol: "path://M0,1L1,0L5,4L9,0L10,1L6,5L10,9L9,10L5,6L1,10L0,9L4,5Z",
          symbolSize: 11,
          itemStyle: { color: colours.bad },
        },
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
  const style = {
    nameTextStyle: { color: colours.ink },
    axisLine: { lineStyle: { color: colours.muted } },
    axisTick: { show: false },
    axisLabel: label,
  };
  const value = (row, { name, numeric, values }) =>
    row.given[name] === undefined ? "-" : numeric ? row.given[name] : values.map(word).indexOf(word(row.given[name]));
  const [least, most] = extent(figures);
  return {
    marks: rows.length * 4,
    height: 360,
    says: `A line is a measurement that went well${rows.length < subject.ok.length ? ` (the best ${best.length} and every k-th of the others: ${rows.length} of ${subject.ok.length})` : ` (${rows.length})`}, the thick one the best; ${colours.best} is better (${direction(subject)}). Drag along an axis to pick a range. Intervals are in the table above.`,
    columns: [...dimensions.map(({ name }) => text(name)), ...figureColumns],
    rows: [...rows].reverse().map((row) => [...dimensions.map(({ name }) => word(row.given[name])), ...cells(row)]),
    option: {
      parallel: { left: 50, right: 80, top: 40, bottom: 24, parallelAxisDefault: style },
      parallelAxis: [
        ...dimensions.map((dimension, dim) => ({
          dim,
          name: short(dimension.name, 18),
          ...style,
          ...(dimension.numeric
            ? { type: "value", scale: true }
            : { type: "category", data: dimension.values.map((item) => short(word(item), 24)) }),
        })),
        {
          dim: dimensions.length,
          name: written.title(figureName(subject)),
          ...style,
          type: "value",
          scale: true,
          inverse: subject.better === "less",
          axisLabel: { ...label, formatter: written.number },
        },
      ],
      visualMap: {
        show: false,
        min: least,
        max: most > least ? most : least + 1,
        dimension: dimensions.length,
        inRange: { color: subject.better === "more" ? colours.ramp : [...colours.ramp].reverse() },
      },
      tooltip: { ...common(colours).tooltip, formatter: ({ dataIndex }) => tipOf(rows[dataIndex]) },
      series: [
        {
          type: "parallel",
          data: rows.map((row) => ({
            value: [...dimensions.map((dimension) => value(row, dimension)), row.stats.median],
            lineStyle: { width: row === subject.best ? 3.5 : 1.2, opacity: row === subject.best ? 1 : 0.55 },
          })),
          progressive: 0,
        },
      ],
    },
  };
}
