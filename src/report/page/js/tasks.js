// Charts of comparisons and of who ran what, where, when.
"use strict";

const MOST_BARS = 5000;

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
    marks: rivals.length,
    height: 80 + 30 * rivals.length,
    says: `Right of 1 is better than ${base?.name === "base" ? "the base" : `the base, ${base?.name}`}${base?.stats ? ` (${inFull(base.stats, base.unit)})` : ""}. Lines are 95 % intervals of the ratio for all variants together; within the band (${(100 * comparison.min_effect).toFixed(1)} %) a difference does not matter.`,
    columns: [text("variant"), text("verdict"), number("ratio"), number("95 % interval"), number("rounds")],
    rows: rivals.map(({ name, verdict, ratio, ci, rounds }) => [
      name,
      verdict,
      ratio.toFixed(3),
      ci ? `[${ci.lo.toFixed(3)}, ${ci.hi.toFixed(3)}]` : "too few rounds",
      String(rounds),
    ]),
    option: {
      grid: { ...common(colours).grid, top: 8 },
      xAxis: axis(colours, {
        type: "value",
        scale: true,
        min: least - room,
        max: most + room,
        name: "times as good as the base",
        axisLabel: { formatter: (x) => String(Number(x.toPrecision(4))) },
      }),
      yAxis: axis(colours, {
        type: "category",
        inverse: true,
        data: rivals.map(said),
        axisLabel: { color: colours.ink, width: Math.min(340, innerWidth * 0.36), overflow: "truncate" },
      }),
      tooltip: {
        ...common(colours).tooltip,
        formatter: ({ dataIndex }) => {
          const { name, verdict, ratio, ci, rounds } = rivals[dataIndex];
          return tip(
            name,
            `${verdict}: ${ratio.toFixed(3)} times as good as the base`,
            ci
              ? `[${ci.lo.toFixed(3)}, ${ci.hi.toFixed(3)}], ${count(rounds, "round")}`
              : `${count(rounds, "round")}, too few for an interval`,
          );
        },
      },
      series: [
        {
          type: "custom",
          encode: { x: [1, 2, 3], y: 0 },
          data: rivals.map(({ ratio, ci }, at) => [at, ratio, ci?.lo ?? NaN, ci?.hi ?? NaN]),
          renderItem: (params, api) =>
            dotAndInterval(api, params, { along: "x", colour: colour(rivals[api.value(0)]), ring: !finite(api.value(2)) }),
          markLine: {
            silent: true,
            symbol: "none",
            label: { show: false },
            lineStyle: { color: colours.ink, width: 1, type: "solid" },
            data: [{ xAxis: 1 }],
          },
          markArea: { silent: true, itemStyle: { color: colours.muted, opacity: 0.14 }, data: [[{ xAxis: band[0] }, { xAxis: band[1] }]] },
        },
      ],
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
  const bars = largest.flatMap((task) =>
    task.lanes.map((lane) => ({ task, value: [place.get(lane), task.from - began, task.to - began] })),
  );
  const render = (colour) => (params, api) => {
    const [lane, from, to] = [0, 1, 2].map((dimension) => api.value(dimension));
    const [[x1, y], [x2]] = [api.coord([from, lane]), api.coord([to, lane])];
    const height = Math.min(18, api.size([0, 1])[1] * 0.7);
    const { x, y: top, width, height: tall } = params.coordSys;
    const shape = echarts.graphic.clipRectByRect(
      { x: x1, y: y - height / 2, width: Math.max(1.5, x2 - x1), height },
      { x, y: top, width, height: tall },
    );
    return shape && { type: "rect", shape, style: { fill: colour, stroke: colours.panel, lineWidth: x2 - x1 > 6 ? 1 : 0 } };
  };
  const series = [
    ...kinds.map((kind, at) => [kind, colours.series[at], bars.filter(({ task }) => task.kind === kind && task.status === "ok")]),
    ["failed", colours.bad, bars.filter(({ task }) => task.status !== "ok")],
  ].filter(([, , data]) => data.length > 0);
  const busy = lanes.map((lane) => tasks.filter((task) => task.lanes.includes(lane)));
  return {
    marks: bars.length,
    height: Math.min(900, 130 + 26 * lanes.length),
    says: `${count(tasks.length, "task")} on ${count(lanes.length, "worker")}, from ${moment(began)} for ${duration(ended - began)}${largest.length < tasks.length ? `; the ${MOST_BARS} longest are drawn` : ""}. The slider below zooms, and so does the wheel with Ctrl.`,
    columns: [
      text("node and worker"),
      number("tasks"),
      number("failed"),
      number("seconds of tasks"),
      number("first began"),
      number("last ended"),
    ],
    rows: lanes.map((lane, at) => [
      lane,
      String(busy[at].length),
      String(busy[at].filter(({ status }) => status !== "ok").length),
      busy[at].reduce((sum, { from, to }) => sum + to - from, 0).toFixed(1),
      ...[Math.min, Math.max].map((of, end) => moment(busy[at].map(({ from, to }) => (end ? to : from)).reduce((a, b) => of(a, b)))),
    ]),
    option: {
      legend: { ...common(colours).legend, data: series.map(([name]) => ({ name })) },
      grid: { ...common(colours).grid, bottom: 40 },
      dataZoom: [
        { type: "inside", filterMode: "weakFilter", zoomOnMouseWheel: "ctrl" },
        {
          type: "slider",
          filterMode: "weakFilter",
          height: 18,
          bottom: 8,
          borderColor: colours.line,
          textStyle: { color: colours.muted },
          labelFormatter: duration,
        },
      ],
      xAxis: axis(colours, {
        type: "value",
        min: 0,
        max: ended - began,
        name: "since the first task began",
        axisLabel: { formatter: duration },
      }),
      yAxis: axis(colours, {
        type: "category",
        inverse: true,
        data: lanes,
        axisLabel: { color: colours.ink, width: Math.min(240, innerWidth * 0.3), overflow: "truncate" },
      }),
      tooltip: {
        ...common(colours).tooltip,
        formatter: ({ seriesIndex, dataIndex }) => {
          const { task } = series[seriesIndex][2][dataIndex];
          return tip(
            `${task.kind} ${task.what}`,
            `${task.status}, ${duration(task.to - task.from)}, from ${moment(task.from)}`,
            task.lanes.join(", "),
          );
        },
      },
      series: series.map(([name, colour, data]) => ({
        type: "custom",
        name,
        itemStyle: { color: colour },
        encode: { x: [1, 2], y: 0 },
        data: data.map(({ value }) => value),
        renderItem: render(colour),
      })),
    },
  };
}
