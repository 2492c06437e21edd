// The stream of events: reconnects with a growing pause, and resumes behind the last event that it has.

const PAUSE_MS = 1_000;
const PAUSE_MS_MAX = 30_000;
/** The service sends an event twice a second. After this long without one, the connection is taken for dead. */
const SILENCE_MS_MAX = 10_000;

/** Tells `on.hello`, `on.step` and `on.state` what comes: "connecting", "connected", "lost", "login". */
export class Connection {
  #on;
  #source = null;
  #lastId = "";
  #failures = 0;
  #timer = 0;
  #watch = 0;
  #retryAt = 0;

  constructor(on) {
    this.#on = on;
    addEventListener("online", () => this.retry());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible" && this.#retryAt > 0) this.retry();
    });
  }

  /** The time of the next attempt, or 0. */
  get retryAt() {
    return this.#retryAt;
  }

  /** Opens the stream now. */
  open() {
    this.#close();
    this.#on.state("connecting");
    const source = new EventSource(`/v1/live?after=${encodeURIComponent(this.#lastId)}`);
    this.#source = source;
    source.addEventListener("hello", (event) => this.#take(() => this.#on.hello(JSON.parse(event.data))));
    source.addEventListener("step", (event) => this.#take(() => {
      this.#on.step(JSON.parse(event.data));
      this.#lastId = event.lastEventId;
      if (this.#failures > 0 || source.wasSeen !== true) this.#on.state("connected");
      source.wasSeen = true;
      this.#failures = 0;
    }));
    source.addEventListener("error", () => this.#lost(source));
    this.#listen();
  }

  /** Tries again now, if it is waiting. */
  retry() {
    if (this.#retryAt > 0) this.open();
  }

  #take(act) {
    this.#listen();
    act();
  }

  #listen() {
    clearTimeout(this.#watch);
    const source = this.#source;
    this.#watch = setTimeout(() => this.#lost(source), SILENCE_MS_MAX);
  }

  #close() {
    clearTimeout(this.#timer);
    clearTimeout(this.#watch);
    this.#source?.close();
    this.#source = null;
    this.#retryAt = 0;
  }

  // An EventSource says nothing about why it failed, and tries again by itself without a growing pause.
  async #lost(source) {
    if (source !== this.#source || source === null) return;
    this.#close();
    this.#failures += 1;
    const pause = Math.min(PAUSE_MS_MAX, PAUSE_MS * 1.6 ** (this.#failures - 1)) * (0.8 + 0.4 * Math.random());
    this.#retryAt = Date.now() + pause;
    this.#timer = setTimeout(() => this.open(), pause);
    this.#on.state("lost");
    const refusal = await refused();
    if (refusal !== null && this.#retryAt > 0) {
      this.#close();
      this.#on.state("login", refusal);
    }
  }
}

/** Returns what to tell if the service wants to know who asks, or lets others in alone; null otherwise. */
async function refused() {
  try {
    const response = await fetch("/v1/status", { cache: "no-store" });
    if (response.status === 401) return "";
    return response.status === 403 ? (await response.json()).message : null;
  } catch {
    return null;
  }
}
