// Mountain ranges (SPEC.md §3) and inclusion in them (§14.1).

import { setBits, u64 } from "./bytes.js";
import { refuseUnless } from "./error.js";
import { keyedHash, type KeyedHash } from "./hash.js";

/** The names under which a range is hashed. */
export interface RangeNames {
  readonly leaf: KeyedHash;
  readonly node: KeyedHash;
  readonly root: KeyedHash;
}

/** The range over commit ids. */
export const HISTORY: RangeNames = {
  leaf: keyedHash("history leaf"),
  node: keyedHash("history node"),
  root: keyedHash("history root"),
};

/** The range over outcomes. */
export const OUTCOMES: RangeNames = {
  leaf: keyedHash("outcome leaf"),
  node: keyedHash("outcome node"),
  root: keyedHash("outcomes root"),
};

interface Peak {
  readonly height: number;
  readonly digest: Uint8Array;
}

/** The peaks of a list of items, to which more are appended. */
export class Range {
  #peaks: Peak[] = [];

  constructor(private readonly names: RangeNames) {}

  /** Takes the peaks of a list of `count` items, of which there is one for each bit set in it, the largest first. */
  static of(names: RangeNames, count: bigint, peaks: readonly Uint8Array[]): Range {
    const range = new Range(names);
    const heights = heightsOf(count);
    range.#peaks = peaks.map((digest, i) => ({ height: heights[i]!, digest }));
    return range;
  }

  /** Appends one item. */
  append(item: Uint8Array): void {
    this.push(0, this.names.leaf(item));
  }

  /** Appends a peak. As long as the two last peaks have equal height, they become one of the next. */
  push(height: number, digest: Uint8Array): void {
    let peak: Peak = { height, digest };
    while (this.#peaks.at(-1)?.height === peak.height) {
      const older = this.#peaks.pop()!;
      peak = { height: peak.height + 1, digest: this.names.node(older.digest, peak.digest) };
    }
    this.#peaks.push(peak);
  }

  /** Returns the digest of the list, given the number of its items. */
  digest(count: bigint): Uint8Array {
    return rangeDigest(
      this.names,
      count,
      this.#peaks.map(({ digest }) => digest),
    );
  }
}

/** Returns the digest of a list of `count` items with these peaks. */
export function rangeDigest(names: RangeNames, count: bigint, peaks: readonly Uint8Array[]): Uint8Array {
  return names.root(u64(count), ...peaks);
}

/** Returns the digest of a list of items. */
export function digestOfAll(names: RangeNames, items: readonly Uint8Array[]): Uint8Array {
  const range = new Range(names);
  for (const item of items) range.append(item);
  return range.digest(BigInt(items.length));
}

// The heights of the peaks, the largest first.
function heightsOf(count: bigint): number[] {
  const heights = [];
  for (let height = 63; height >= 0; height--) if ((count >> BigInt(height)) & 1n) heights.push(height);
  return heights;
}

/** Shows that an item is in a list. */
export interface Inclusion {
  readonly siblings: readonly Uint8Array[];
  readonly peaks: readonly Uint8Array[];
}

/** Returns the digest of the list of `count` items that has the item at `index` (§14.1). */
export function includedIn(
  names: RangeNames,
  count: bigint,
  index: bigint,
  item: Uint8Array,
  { siblings, peaks }: Inclusion,
): Uint8Array {
  refuseUnless(index < count, "Index");
  const { height, place } = peakAbove(count, index);
  refuseUnless(siblings.length === height, "SiblingCount");
  refuseUnless(peaks.length === setBits(count) - 1, "PeakCount");
  let digest = names.leaf(item);
  siblings.forEach((sibling, k) => {
    digest = (index >> BigInt(k)) & 1n ? names.node(sibling, digest) : names.node(digest, sibling);
  });
  return rangeDigest(names, count, [...peaks.slice(0, place), digest, ...peaks.slice(place)]);
}

// The height of the peak above an item, and its place among the peaks.
function peakAbove(count: bigint, index: bigint): { height: number; place: number } {
  let left = index;
  const heights = heightsOf(count);
  const place = heights.findIndex((height) => {
    const items = 1n << BigInt(height);
    if (left < items) return true;
    left -= items;
    return false;
  });
  return { height: heights[place]!, place };
}
