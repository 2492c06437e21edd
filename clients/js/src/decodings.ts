// Objects that a decoder made. Decoding has checked lengths and bounds, on which verification relies.

import { ArgumentError } from "./error.js";

/** The objects that one decoder made. */
export class Decodings<T extends object> {
  readonly #made = new WeakSet<T>();

  constructor(private readonly decoder: string) {}

  /** Adds an object, which does not change from then on. */
  add(object: T): T {
    this.#made.add(object);
    return Object.freeze(object);
  }

  /** Refuses an object that was put together in another way. */
  check(object: T): void {
    if (!this.#made.has(object)) throw new ArgumentError(`give an object that ${this.decoder} returned`);
  }
}
