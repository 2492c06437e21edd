// The plots, each with a legend that shows figures, and a table of the same.

import { element, setText, table } from "./elements.js";
import { bytes, clock, compact, micros, perSecond } from "./format.js";

/* global uPlot */

const ROWS_MAX = 30;
const HEIGHT = 190;
/** Seconds that are shown at least. */
const SPAN_MIN = 10;

const rate = (count) => ({ window }) => (window[count] * 1e6) / Math.max(window.length_us, 1);
const figure = (name) => ({ window }) => window[name];
const positive = (read) => (point) => read(point) || null;
const latency = (quantile) => positive(({ window }) => window.durable_us[quantile]);
// Owners above each other: the sum of the first `count` owners.
const owners = (count) => ({ memory }) => memory && memory.slice(0, count).reduce((sum, owner) => sum + owner.bytes, 0);
const owner = (at) => ({ memory }) => memory && (memory[at]?.bytes ?? null);
const changes = (...settings) => ({ change }) => settings.some((setting) => change.startsWith(setting));

const PLOTS = [
  {
    id: "throughput",
    title: "Throughput",
    text: perSecond,
    marks: () => true,
    series: [
      { name: "durable", of: rate("operations_durable"), colour: "c1", area: true },
      { name: "accepted", of: rate("operations_accepted"), colour: "c2", dash: true },
      { name: "keys read", of: rate("reads"), colour: "c3" },
      { name: "keys proven", of: rate("proofs"), colour: "c4" },
    ],
  },
  {
    id: "latency",
    title: "Latency until durable",
    text: micros,
    isLogarithmic: true,
    marks: () => true,
    series: [
      { name: "p50", of: latency("p50"), colour: "c3" },
      { name: "p95", of: latency("p95"), colour: "c1" },
      { name: "p99", of: latency("p99"), colour: "c4" },
      { name: "largest", of: latency("max"), colour: "c7", dash: true },
    ],
  },
  {
    id: "groups",
    title: "Group cap",
    text: compact,
    isLogarithmic: true,
    marks: changes("group.", "submit."),
    series: [
      { name: "cap", of: figure("group_operations_max"), colour: "c1", steps: true },
      { name: "group, median", of: positive(({ window }) => window.group_operations.p50), colour: "c3" },
      { name: "in flight, limit", of: figure("in_flight_operations_max"), colour: "c2", steps: true, dash: true },
      { name: "waiting", of: positive(figure("operations_waiting")), colour: "c7" },
    ],
  },
  {
    id: "workers",
    title: "Workers",
    text: compact,
    marks: changes("workers."),
    fromZero: true,
    incrs: [1, 2, 5, 10, 20, 50, 100],
    series: [
      { name: "tree", of: figure("tree_parallelism"), colour: "c1", steps: true },
      { name: "hash", of: figure("hash_parallelism"), colour: "c2", steps: true, dash: true },
      { name: "proof", of: figure("proof_parallelism"), colour: "c4", steps: true },
    ],
  },
  {
    id: "memory",
    title: "Memory by owner",
    text: bytes,
    fromZero: true,
    incrs: binarySteps(),
    marks: changes("cache."),
    // The highest first: each area covers those behind it.
    series: [
      { name: "value cache and everything else", of: owners(3), shown: owner(2), colour: "c7", fill: "a3" },
      { name: "values before a checkpoint", of: owners(2), shown: owner(1), colour: "c2", fill: "a2" },
      { name: "tree", of: owners(1), shown: owner(0), colour: "c1", fill: "a1" },
    ],
  },
];

/** Creates all plots in a node. */
export function createPlots(node, history) {
  const plots = PLOTS.map((description) => new Plot(description, history));
  node.prepend(...plots.map((plot) => plot.node));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plots.forEach((plot) => plot.rebuild()));
  return plots;
}

class Plot {
  #description;
  #history;
  #canvas;
  #values;
  #data;
  #plot = null;
  #points = [];
  #span = 180;

  constructor(description, history) {
    this.#description = description;
    this.#history = history;
    const heading = `${description.id}-heading`;
    this.#canvas = element("div", { class: "plot", role: "img", "aria-label": `${description.title}, a plot. The table below it has the figures.` });
    this.#values = description.series.map(() => element("b"));
    const entries = description.series.map(({ name, colour, fill }, at) => {
      const swatch = element("span", { class: `swatch k${colour} ${fill ? `area k${fill}` : `k${colour.slice(1)}`}`, "aria-hidden": "true" });
      return element("li", {}, swatch, name, this.#values[at]);
    });
    const scroll = element("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": `${description.title}, table` });
    this.#data = element("details", { class: "data", toggle: () => this.#fillTable() }, element("summary", {}, `${description.title} as a table`), scroll);
    this.node = element("section", { class: "card", id: description.id, "aria-labelledby": heading },
      element("h2", { id: heading }, description.title), element("ul", { class: "legend" }, entries), this.#canvas, this.#data);
    new ResizeObserver(() => this.#resize()).observe(this.#canvas);
  }

  /** Shows the last seconds of what the history has. */
  update(span) {
    this.#span = span;
    const { points } = this.#history;
    const end = points.at(-1)?.at ?? 0;
    this.#points = points.filter(({ at }) => at >= end - span);
    this.#show();
    if (this.#data.open) this.#fillTable();
  }

  /** Draws with the colours of now. */
  rebuild() {
    this.#plot?.destroy();
    this.#plot = null;
    this.#show();
  }

  #show() {
    const { series } = this.#description;
    const column = (read) => this.#points.map((point) => (point.window === null ? null : read(point)));
    const data = [this.#points.map(({ at }) => at), ...series.map(({ of }) => column(of))];
    if (this.#plot === null) {
      if (this.#points.length === 0 || this.#canvas.clientWidth === 0) return;
      this.#plot = new uPlot(this.#options(), data, this.#canvas);
    } else {
      this.#plot.setData(data);
    }
    this.#showValues(this.#plot.cursor.idx);
  }

  // Below the pointer, or of the last window.
  #showValues(at) {
    const last = this.#points.findLastIndex(({ window, memory }) => window !== null && (this.#description.id !== "memory" || memory));
    const point = this.#points[at ?? last] ?? this.#points[last];
    this.#description.series.forEach(({ of, shown = of }, which) => {
      const value = point === undefined || point.window === null ? null : shown(point);
      setText(this.#values[which], value === null || value === undefined ? "–" : this.#description.text(value));
    });
  }

  #resize() {
    if (this.#plot === null) return this.#show();
    if (this.#canvas.clientWidth > 0) this.#plot.setSize({ width: this.#canvas.clientWidth, height: HEIGHT });
  }

  #fillTable() {
    const { title, series, text } = this.#description;
    const rows = this.#points.filter(({ window }) => window !== null).slice(-ROWS_MAX).reverse();
    const cells = rows.map((point) => [clock(point.at * 1e3), ...series.map(({ of, shown = of }) => {
      const value = shown(point);
      return value === null ? "–" : text(value);
    })]);
    const columns = ["time", ...series.map(({ name }) => [name, true])];
    this.#data.lastElementChild.replaceChildren(table(`${title}, newest first`, columns, cells));
  }

  #options() {
    const { series, text, isLogarithmic, fromZero, incrs } = this.#description;
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`);
    const axis = { stroke: colour("soft"), font: "11px system-ui, sans-serif", grid: { stroke: colour("rule"), width: 1 }, ticks: { show: false } };
    const lines = series.map(({ name, colour: own, dash, area, steps, fill }) => ({
      label: name,
      stroke: colour(own),
      width: 1.6,
      dash: dash ? [5, 4] : undefined,
      fill: fill ? colour(fill) : area ? colour("area1") : undefined,
      paths: steps ? uPlot.paths.stepped({ align: -1 }) : undefined,
      points: { show: false },
    }));
    const upTo = (least, most) => [Math.min(0, least ?? 0), (most || 1) * 1.08];
    return {
      width: this.#canvas.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { sync: { key: "time" }, drag: { x: false, y: false }, points: { size: 6 } },
      scales: {
        x: { time: true, range: (_, first, last) => [Math.max(last - this.#span, Math.min(first, last - SPAN_MIN)), last] },
        y: isLogarithmic ? { distr: 3, log: 10 } : { range: (_, least, most) => (fromZero ? upTo(0, most) : upTo(least, most)) },
      },
      axes: [
        { ...axis, size: 26, values: (_, seconds) => seconds.map((second) => clock(second * 1e3)), space: 76 },
        { ...axis, size: 58, space: 30, values: (_, values) => values.map((value) => (value === null ? "" : text(value))),
          ...(incrs ? { incrs } : {}), ...(isLogarithmic ? { grid: { ...axis.grid, filter: (_, values) => values.map(powerOfTen) } } : {}) },
      ],
      series: [{}, ...lines],
      hooks: { draw: [(plot) => this.#drawMarks(plot, colour)], setCursor: [(plot) => this.#showValues(plot.cursor.idx)] },
    };
  }

  // Decisions as numbered lines.
  #drawMarks(plot, colour) {
    const { ctx, bbox } = plot;
    const ratio = devicePixelRatio;
    const marks = this.#history.decisions.filter((decision) => this.#description.marks(decision));
    ctx.save();
    ctx.font = `600 ${10 * ratio}px system-ui, sans-serif`;
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    let lastX = -Infinity;
    for (const { at, number } of marks) {
      const x = Math.round(plot.valToPos(at, "x", true));
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.strokeStyle = colour("edge");
      ctx.setLineDash([2 * ratio, 3 * ratio]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      // Numbers that would cover each other are left out; the list of decisions has all.
      if (x - lastX < 20 * ratio) continue;
      lastX = x;
      const width = (String(number).length * 6 + 8) * ratio;
      ctx.fillStyle = colour("text");
      ctx.beginPath();
      ctx.roundRect(x - width / 2, bbox.top, width, 14 * ratio, 7 * ratio);
      ctx.fill();
      ctx.fillStyle = colour("card");
      ctx.fillText(String(number), x, bbox.top + 7.5 * ratio);
    }
    ctx.restore();
  }
}

// A logarithmic scale has a line for each power of ten.
function powerOfTen(value) {
  return value > 0 && Number.isInteger(Math.round(Math.log10(value) * 1e6) / 1e6) ? value : null;
}

// Round multiples of powers of 1024.
function binarySteps() {
  const sizes = [0, 1, 2, 3, 4].map((power) => 1024 ** power);
  return sizes.flatMap((size) => [1, 2, 5, 10, 20, 50, 100, 200, 500].map((times) => times * size));
}
