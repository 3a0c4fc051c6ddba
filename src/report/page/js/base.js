// How elements are made and figures written. Text from a journal becomes text nodes and attributes, never markup.
"use strict";

/** The element with this id. */
const $ = (id) => document.getElementById(id);

/** An element: h("td", { class: "n" }, "12"). Functions are listeners, `null` and `false` are nothing. */
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A choice with a label; `options` are [value, text]. */
function choice(label, options, chosen, onchange) {
  const select = h(
    "select",
    { onchange: () => onchange(select.value) },
    options.map(([value, text]) => h("option", { value, selected: String(value) === String(chosen) }, text)),
  );
  return h("label", { class: "choice" }, h("span", {}, label), select);
}

/** A table with a caption for those who cannot see where it stands. Cells may be text or elements. */
function table(caption, columns, rows, attributes = {}) {
  const cell = (tag, content, column) => h(tag, { class: column.number ? "n" : null, scope: tag === "th" ? "row" : null }, content);
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h(
      "table",
      attributes,
      h("caption", { class: "unseen" }, caption),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          columns.map((column) => h("th", { scope: "col", class: column.number ? "n" : null }, column.title)),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map((row) =>
          h(
            "tr",
            {},
            row.map((content, at) => cell(at === 0 ? "th" : "td", content, columns[at])),
          ),
        ),
      ),
    ),
  );
}

const finite = (x) => typeof x === "number" && Number.isFinite(x);

/** The least and the largest of any number of figures. */
const extent = (figures) =>
  figures.reduce(([least, most], x) => (finite(x) ? [Math.min(least, x), Math.max(most, x)] : [least, most]), [Infinity, -Infinity]);

/** To four digits, so that 0.99999 s is 1 s and not 1000 ms. */
const rounded = (x) => Number(x.toPrecision(4));

/** One unit and one number of decimals for figures that stand side by side, as harness writes them everywhere (src/model/human.rs). */
function scaleOf(unit, figure) {
  const size = Math.abs(rounded(finite(figure) ? figure : 0));
  let [name, scale] = [unit, 1];
  if (unit === "s")
    [name, scale] = size === 0 || size >= 1 ? ["s", 1] : size >= 1e-3 ? ["ms", 1e3] : size >= 1e-6 ? ["µs", 1e6] : ["ns", 1e9];
  if (unit === "B") {
    const power = size > 0 ? Math.min(6, Math.max(0, Math.floor(Math.log2(size) / 10))) : 0;
    [name, scale] = [["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"][power], 1024 ** -power];
  }
  const shown = Math.abs(rounded(size * scale));
  const exponent = shown > 0 ? Math.floor(Math.log10(shown)) : 0;
  const power = exponent >= -3 && exponent < 9 ? 0 : exponent;
  const before = exponent - power + (exponent < power ? 2 : 1);
  const decimals = size === 0 ? 0 : Math.max(0, 4 - Math.max(before, 1));
  const digits = (x) => (finite(x) ? (x * scale * 10 ** -power).toFixed(decimals) + (power ? `e${power}` : "") : "–");
  return { name, digits, scale, text: (x) => (name ? `${digits(x)} ${name}` : digits(x)) };
}

/** A figure with its unit: `12.30 ms`. */
const figure = (x, unit) => scaleOf(unit, x).text(x);

/** For axes: as many digits as say something, one unit for all of an axis. */
function axisOf(unit, figures) {
  const largest = Math.max(0, ...extent(figures).map(Math.abs).filter(finite));
  const { name, scale } = scaleOf(unit, largest);
  const number = (x) => String(Number((x * scale).toPrecision(6)));
  return { name, number, title: (what) => (name ? `${what} (${name})` : what) };
}

/** Seconds for people: `12.3 ms`, `2 min 5 s`, `1 h 30 min`, `3 d 2 h`. */
function duration(seconds) {
  if (!finite(seconds)) return "–";
  const whole = Math.round(seconds);
  if (whole >= 172800) return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
  if (whole >= 3600) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  if (seconds >= 120) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Number(scaleOf("s", seconds).digits(seconds))} ${scaleOf("s", seconds).name}`;
}

const two = (x) => String(x).padStart(2, "0");

/** A moment on the reader's clock: `2026-11-26 22:53:10`. */
function moment(unix) {
  if (!finite(unix)) return "–";
  const at = new Date(unix * 1000);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** `1 task`, `24 tasks`. */
const count = (n, thing) => `${n.toLocaleString("en")} ${thing}${n === 1 ? "" : "s"}`;

/** What the interval says, or why there is none (Hoefler and Belli, rule 5). */
function interval(stats, unit, like = stats.median) {
  const scale = scaleOf(unit, like);
  if (stats.lo === undefined || stats.hi === undefined) return "n < 7, no interval";
  return `[${scale.digits(stats.lo)}, ${scale.digits(stats.hi)}]`;
}

/** A figure with all that belongs to it: `12.30 ms [12.25, 12.40], n = 10`. */
function inFull(stats, unit) {
  const none = stats.lo === undefined ? " (below 7 no interval)" : "";
  return `${figure(stats.median, unit)}${none ? "" : ` ${interval(stats, unit)}`}, n = ${stats.n}${none}`;
}

const better = (way) => (way === "more" ? "more is better" : "less is better");

/** Every k-th of a long list, and always the last. */
function sampled(list, most) {
  if (list.length <= most) return list;
  const step = (list.length - 1) / (most - 1);
  return Array.from({ length: most }, (_, at) => list[Math.round(at * step)]);
}

/** The p-quantile of ascending figures (definition 7 of Hyndman and Fan, as in the journal). */
function quantile(sorted, p) {
  const at = p * (sorted.length - 1);
  const below = Math.floor(at);
  return sorted[below] + (at - below) * (sorted[Math.min(below + 1, sorted.length - 1)] - sorted[below]);
}

/** What a sequence grouped by a key is: Map of key to list, in order of first sight. */
function grouped(list, keyOf) {
  const groups = new Map();
  for (const item of list) {
    const key = keyOf(item);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(item);
  }
  return groups;
}

/** Numbers by size, then words as they came. */
function ordered(values) {
  const numbers = values.filter((value) => typeof value === "number").sort((a, b) => a - b);
  return [...numbers, ...values.filter((value) => typeof value !== "number")];
}

/** A value of a parameter in a word. */
const word = (value) => (typeof value === "string" ? value : value === undefined ? "–" : JSON.stringify(value));
