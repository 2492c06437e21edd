// The timeline of the pipeline, as in the report of a run: a lane for each stage, a bar for each version.

import { svg, table } from "./elements.js";
import { grouped, micros } from "./format.js";

export const STAGES = ["ingest", "tree", "hash", "kzg", "persist"];

const VERSIONS = 12;
const LANE = 34;
const BAR = 24;
const TOP = 6;
const BOTTOM = 24;
const HEIGHT = TOP + LANE * STAGES.length + BOTTOM;
const LEFT = 62;
/** Least width of a bar that shows its number. */
const NUMBER_WIDTH = 18;

/** Returns the spans of the last versions that all stages have done, or null. */
export function lastVersions(spans) {
  const byVersion = new Map();
  for (const span of spans) byVersion.set(span.version, [...(byVersion.get(span.version) ?? []), span]);
  const most = Math.max(0, ...[...byVersion.values()].map((all) => new Set(all.map(({ stage }) => stage)).size));
  const complete = [...byVersion.keys()].filter((version) => byVersion.get(version).length >= most).sort((a, b) => a - b);
  const shown = complete.slice(-VERSIONS).flatMap((version) => byVersion.get(version));
  if (shown.length === 0) return null;
  const begin = Math.min(...shown.map(({ begun_us }) => begun_us));
  return { spans: shown, begin, end: Math.max(...shown.map(({ ended_us }) => ended_us)) };
}

/** Draws them for a width. */
export function drawTimeline({ spans, begin, end }, width) {
  const right = width - 8;
  const x = (us) => LEFT + ((us - begin) / Math.max(end - begin, 1)) * (right - LEFT);
  const bottom = HEIGHT - BOTTOM;
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": "When each stage worked on which version. The table below has the same." });
  for (const tick of ticks(end - begin, width < 500 ? 3 : 7)) {
    const at = x(begin + tick).toFixed(1);
    drawing.append(svg("path", { class: "line", d: `M${at} ${TOP}V${bottom}` }), svg("text", { x: at, y: bottom + 16, "text-anchor": "middle" }, micros(tick)));
  }
  STAGES.forEach((stage, lane) => {
    const top = TOP + LANE * lane;
    drawing.append(
      svg("text", { class: "lane", x: LEFT - 8, y: top + LANE / 2, dy: "0.35em", "text-anchor": "end" }, stage),
      svg("path", { class: "line", d: `M${LEFT} ${top + LANE}H${right}` }),
      ...spans.filter((span) => span.stage === stage).map((span) => bar(span, top + (LANE - BAR) / 2, x, begin)),
    );
  });
  return drawing;
}

function bar(span, top, x, begin) {
  const left = x(span.begun_us);
  const width = Math.max(1.5, x(span.ended_us) - left);
  const group = svg("g", { class: `span ${span.version % 2 === 0 ? "even" : "odd"}` },
    svg("title", {}, `${span.stage}, version ${grouped(span.version)}\n${micros(span.ended_us - span.begun_us)} from ${micros(span.begun_us - begin)}\n${grouped(span.operations)} operations`),
    svg("rect", { x: left.toFixed(1), y: top, width: width.toFixed(1), height: BAR, rx: 2 }));
  if (width >= NUMBER_WIDTH) {
    const number = String(span.version % 100).padStart(2, "0");
    group.append(svg("text", { x: (left + width / 2).toFixed(1), y: top + BAR / 2, dy: "0.35em", "text-anchor": "middle" }, number));
  }
  return group;
}

function ticks(length, most) {
  const raw = Math.max(length, 1) / most;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((times) => times * power).find((size) => size >= raw);
  return Array.from({ length: Math.floor(length / step) + 1 }, (_, at) => at * step);
}

/** Returns the share of the time in which at least two stages worked. */
export function overlap({ spans, begin, end }) {
  const events = spans.flatMap(({ begun_us, ended_us }) => [[begun_us, 1], [ended_us, -1]]);
  events.sort(([a, up], [b, down]) => a - b || up - down);
  let working = 0;
  let since = begin;
  let together = 0;
  for (const [at, change] of events) {
    if (working >= 2) together += at - since;
    working += change;
    since = at;
  }
  return together / Math.max(end - begin, 1);
}

export function timelineTable({ spans, begin }) {
  const versions = [...new Set(spans.map(({ version }) => version))].reverse();
  const cell = (version, stage) => {
    const span = spans.find((other) => other.version === version && other.stage === stage);
    return span === undefined ? "–" : `${micros(span.ended_us - span.begun_us)} from ${micros(span.begun_us - begin)}`;
  };
  const rows = versions.map((version) => [grouped(version), ...STAGES.map((stage) => cell(version, stage))]);
  return table("Work of the stages on each version, newest first", ["version", ...STAGES], rows);
}
