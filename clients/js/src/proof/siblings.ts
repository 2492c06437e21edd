// Sequences of digests, with the empty ones as bits (SPEC.md §9.2). They are never expanded.

import { isZero } from "../bytes.js";
import { MalformedError, refuseUnless, type ProofRule } from "../error.js";
import { ZERO } from "../hash.js";

const DIGEST_BYTES = 32;

/** A sequence of digests as it is written. */
export class Siblings {
  private constructor(
    readonly bitmap: Uint8Array,
    readonly list: Uint8Array,
    readonly count: number,
  ) {}

  /** Checks a sequence that was read, and that it has at most `bound` digests. */
  static of(bitmap: Uint8Array, list: Uint8Array, bound: number): Siblings {
    if (list.length % DIGEST_BYTES !== 0) throw new MalformedError("a list of siblings is no whole number of digests");
    const listed = list.length / DIGEST_BYTES;
    const count = listed + setBitsOf(bitmap);
    if (count > bound) throw new MalformedError(`there are ${count} siblings, more than the ${bound} that fit`);
    if (bitmap.length !== Math.ceil(count / 8)) throw new MalformedError("the bitmap of siblings has the wrong length");
    const last = bitmap.length === 0 ? 0 : bitmap[bitmap.length - 1]!;
    if (count % 8 !== 0 && last >> (count % 8) !== 0)
      throw new MalformedError("the bitmap of siblings has bits behind its end");
    for (let at = 0; at < list.length; at += DIGEST_BYTES) {
      if (isZero(list.subarray(at, at + DIGEST_BYTES))) throw new MalformedError("a listed sibling is empty");
    }
    return new Siblings(bitmap, list, count);
  }

  /** Writes a sequence of digests. */
  static from(digests: readonly Uint8Array[]): Siblings {
    const bitmap = new Uint8Array(Math.ceil(digests.length / 8));
    const listed = digests.filter((digest) => !isZero(digest));
    digests.forEach((digest, i) => {
      if (isZero(digest)) bitmap[i >> 3]! |= 1 << (i & 7);
    });
    const list = new Uint8Array(listed.length * DIGEST_BYTES);
    listed.forEach((digest, i) => list.set(digest, i * DIGEST_BYTES));
    return new Siblings(bitmap, list, digests.length);
  }

  /** Begins to take the digests from the front. */
  take(): SiblingsLeft {
    return new SiblingsLeft(this);
  }
}

/** The digests that were not taken yet. */
export class SiblingsLeft {
  #taken = 0;
  #at = 0;

  constructor(private readonly siblings: Siblings) {}

  /** Takes the next digest, and refuses by the rule if there is none. */
  next(missing: ProofRule): Uint8Array {
    refuseUnless(this.#taken < this.siblings.count, missing);
    const i = this.#taken++;
    if ((this.siblings.bitmap[i >> 3]! >> (i & 7)) & 1) return ZERO;
    const at = this.#at;
    this.#at += DIGEST_BYTES;
    return this.siblings.list.subarray(at, at + DIGEST_BYTES);
  }

  /** Refuses by the rule if a digest is left. */
  end(unused: ProofRule): void {
    refuseUnless(this.#taken === this.siblings.count, unused);
  }
}

function setBitsOf(bitmap: Uint8Array): number {
  let count = 0;
  for (const byte of bitmap) for (let rest = byte; rest !== 0; rest &= rest - 1) count++;
  return count;
}
