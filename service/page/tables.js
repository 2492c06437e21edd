// Tiles and tables of the live view.

import { element, table } from "./elements.js";
import { bytes, clock, compact, duration, grouped, micros, perSecond, visible } from "./format.js";
import { STAGES } from "./timeline.js";

export function tiles({ status, lastWindow: window, memory }) {
  const resident = memory.reduce((sum, owner) => sum + owner.bytes, 0);
  const rate = window === null ? null : (window.operations_durable * 1e6) / Math.max(window.length_us, 1);
  const known = (value, text) => (value === null || value === undefined ? "–" : text(value));
  const all = [
    ["Durable operations", known(rate, perSecond), known(window?.submissions, (count) => `${compact(count)} submissions in the last window`)],
    ["Latency, p99", known(window?.durable_us.p99 || null, micros), "until durable"],
    ["Version", grouped(status.durable_version), `oldest kept ${grouped(status.oldest_version)}`],
    ["Keys", compact(status.key_count), "at the newest version"],
    ["In flight", known(window?.operations_waiting, compact), known(window?.groups_in_flight, (count) => `waiting; ${count} ${count === 1 ? "group" : "groups"}`)],
    ["Memory", bytes(resident), "resident"],
    ["Up", duration(status.uptime_us / 1e3), `epoch ${grouped(status.epoch)}`],
  ];
  return all.map(([name, value, note]) => element("div", {}, element("dt", {}, name), element("dd", {}, value), element("dd", { class: "note" }, note)));
}

function load(percent) {
  const bar = element("i", { class: percent >= 90 ? "full" : percent >= 70 ? "busy" : "" });
  bar.style.width = `${Math.min(percent, 100)}%`;
  return element("span", { class: "load", "aria-hidden": "true" }, bar);
}

export function stageTable(window) {
  const rows = STAGES.map((stage, at) => {
    const { busy_us: busy, queue_wait_us: wait } = window.stages[at];
    const percent = (100 * busy) / Math.max(window.length_us, 1);
    return [stage, `${Math.round(percent)} %`, load(percent), micros(wait.p99)];
  });
  return table("Stages in the last window", ["stage", ["busy", true], "", ["queued, p99", true]], rows);
}

const KINDS = { carrier: "the carrier's servers", replica: "replica", primary: "the primary", cursor: "reads the feed" };

export function memberTable(members) {
  const rows = members.map(({ name, kind, version, lag_versions: lag, silence_ms: silence }) => [
    element("span", {}, visible(name), element("span", { class: "under" }, KINDS[kind] ?? kind)),
    grouped(version),
    grouped(lag),
    silence === null ? "–" : `${duration(silence)} ago`,
  ]);
  return table("Replicas and followers", ["name", ["version", true], ["behind", true], ["heard", true]], rows);
}

export function decisionTable(decisions) {
  const rows = decisions.toReversed().map((decision) => [
    element("span", { class: "mark" }, String(decision.number)),
    element("span", { class: "whole" }, clock(decision.at * 1e3)),
    element("span", {}, visible(decision.change), element("span", { class: "under" }, visible(decision.evidence === null ? decision.reason : `${decision.reason}; ${decision.evidence}`))),
  ]);
  return table("Decisions, newest first", ["no.", "time", "change and reason"], rows);
}
