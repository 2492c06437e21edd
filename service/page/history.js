// What was seen: windows, decisions, spans and memory, on the clock of the service. All of it is bounded.

const WINDOWS_MAX = 1_200;
const DECISIONS_MAX = 200;
const SPANS_MAX = 600;

export class History {
  about = null;
  status = null;
  members = [];
  memory = [];
  /** Points of the plots: a window with its end in seconds since 1970, or a gap. */
  points = [];
  decisions = [];
  spans = [];
  #last = 0;

  /** Begins a process, or continues one. Returns whether it is another one than before. */
  hello(about) {
    const isOther = this.about !== null && this.about.began_unix_ms !== about.began_unix_ms;
    if (isOther) {
      this.#last = 0;
      this.spans = [];
      const last = this.points.at(-1);
      if (last !== undefined) this.points.push({ at: last.at + 1e-3, window: null, memory: null });
    }
    this.about = about;
    return isOther;
  }

  add(step) {
    this.status = step.status;
    this.members = step.members;
    this.memory = step.memory;
    for (const window of step.windows) this.#addWindow(window, step);
    for (const decision of step.decisions) this.#addDecision(decision);
    this.#addSpans(step.spans);
  }

  /** Returns a time of the process in seconds since 1970. */
  second(us) {
    return this.about.began_unix_ms / 1e3 + us / 1e6;
  }

  get lastWindow() {
    return this.points.findLast(({ window }) => window !== null)?.window ?? null;
  }

  #addWindow(window, step) {
    if (window.number <= this.#last) return;
    const at = this.second(window.ended_us);
    // The clock of another process may be behind. A plot goes forwards only.
    if (at <= (this.points.at(-1)?.at ?? 0)) this.points = [];
    if (this.#last > 0 && window.number > this.#last + 1) {
      const gap = this.second(window.ended_us - window.length_us);
      if (gap > this.points.at(-1).at && gap < at) this.points.push({ at: gap, window: null, memory: null });
    }
    this.#last = window.number;
    // The memory is measured now. A window of the past knows its tree alone.
    const isNow = step.windows.at(-1) === window && step.status.uptime_us - window.ended_us < 2e6;
    this.points.push({ at, window, memory: isNow ? step.memory : null });
    if (this.points.length > WINDOWS_MAX) this.points.splice(0, this.points.length - WINDOWS_MAX);
  }

  #addDecision(decision) {
    const at = this.second(decision.at_us);
    const began = this.about.began_unix_ms;
    if (this.decisions.some((other) => other.began === began && other.number === decision.number)) return;
    this.decisions.push({ ...decision, at, began });
    if (this.decisions.length > DECISIONS_MAX) this.decisions.shift();
  }

  #addSpans(spans) {
    this.spans.push(...spans);
    if (this.spans.length > SPANS_MAX) this.spans.splice(0, this.spans.length - SPANS_MAX);
  }
}
