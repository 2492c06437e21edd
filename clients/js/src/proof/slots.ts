// From the entries of a proof to the digests of the slots that they use (SPEC.md §10.1).

import { bit, compare, equal, isZero, sameBits, u8 } from "../bytes.js";
import { refuseUnless } from "../error.js";
import { hash, hashBucket, hashInner, hashLeaf, ZERO } from "../hash.js";
import { keyHasher, PATH_BITS, SLOT_BITS, slotOf, type TreeParams } from "../params.js";
import { leafBytes, type Entry, type Leaf, type Place, type VersionProof } from "./proof.js";
import type { SiblingsLeft } from "./siblings.js";

/** A slot that a proof uses, and its digest. */
export interface Slot {
  readonly slot: number;
  readonly digest: Uint8Array;
}

/** A terminal with its entries. */
export interface End {
  /** The hash of one key below: its first `depth` bits are the prefix. */
  readonly below: Uint8Array;
  readonly depth: number;
  readonly place: Place;
  readonly entries: readonly HashedEntry[];
}

export interface HashedEntry {
  readonly entry: Entry;
  readonly keyHash: Uint8Array;
}

/** Returns the slots that the entries of a version use, ascending. */
export function slotsOf(proof: VersionProof, params: TreeParams): Slot[] {
  const ends = endsOf(proof, params);
  const digests = ends.map((end) => digestOf(end, params));
  const siblings = proof.siblings.take();
  const slots: Slot[] = [];
  for (let first = 0; first < ends.length;) {
    const slot = slotOf(ends[first]!.below);
    let last = first;
    while (last < ends.length && slotOf(ends[last]!.below) === slot) last++;
    slots.push({ slot, digest: subtree(SLOT_BITS, first, last, ends, digests, siblings) });
    first = last;
  }
  siblings.end("SiblingUnused");
  return slots;
}

/** Gives each terminal its entries (steps 1 and 2). */
export function endsOf(proof: VersionProof, params: TreeParams): End[] {
  const entries = hashed(proof.entries, params);
  const ends: End[] = [];
  let first = 0;
  for (const { depth, place } of proof.terminals) {
    refuseUnless(first < entries.length, "TerminalUnused");
    const below = entries[first]!.keyHash;
    const before = ends[ends.length - 1];
    const overlaps = before !== undefined && depth <= before.depth && sameBits(before.below, below, depth);
    refuseUnless(!overlaps, "TerminalOverlap");
    let last = first;
    while (last < entries.length && sameBits(entries[last]!.keyHash, below, depth)) last++;
    ends.push({ below, depth, place, entries: entries.slice(first, last) });
    first = last;
  }
  refuseUnless(first === entries.length, "TerminalMissing");
  return ends;
}

function hashed(entries: readonly Entry[], params: TreeParams): HashedEntry[] {
  const keyHash = keyHasher(params);
  const all = entries.map((entry) => ({ entry, keyHash: keyHash(entry.key) }));
  for (let i = 1; i < all.length; i++) {
    refuseUnless(compare(all[i - 1]!.keyHash, all[i]!.keyHash) < 0, "EntryOrder");
  }
  return all;
}

/** Returns whether an entry claims that its key is present. */
export function isPresent({ entry }: HashedEntry): boolean {
  return entry.claim.kind !== "absent";
}

/** Returns the value hash that an entry claims, if it is present. */
export function claimedHash({ claim }: Entry): Uint8Array | null {
  if (claim.kind === "absent") return null;
  return claim.kind === "value" ? hash(claim.value) : claim.valueHash;
}

/** Checks a terminal and returns its digest (step 3). */
export function digestOf(end: End, params: TreeParams): Uint8Array {
  const { place, entries } = end;
  const present = entries.filter(isPresent);
  switch (place.kind) {
    case "empty":
      refuseUnless(present.length === 0, "EmptyWithPresent");
      return ZERO;
    case "own_leaf":
      refuseUnless(present.length === 1, "OwnLeafPresent");
      return hashLeaf(present[0]!.keyHash, claimedHash(present[0]!.entry)!);
    case "other_leaf":
      refuseUnless(present.length === 0, "OtherLeafWithPresent");
      return otherLeafDigest(end, place.leaf);
    case "bucket":
      refuseUnless(params.collision === "bucket", "BucketPolicy");
      refuseUnless(end.depth === PATH_BITS, "BucketDepth");
      return bucketDigest(end, place.members);
  }
}

function otherLeafDigest({ below, depth, entries }: End, leaf: Leaf): Uint8Array {
  refuseUnless(!entries.some(({ keyHash }) => equal(keyHash, leaf.keyHash)), "OtherLeafIsEntry");
  refuseUnless(sameBits(leaf.keyHash, below, depth), "OtherLeafOutside");
  return hashLeaf(leaf.keyHash, leaf.valueHash);
}

function bucketDigest({ below, entries }: End, members: readonly Leaf[]): Uint8Array {
  members.forEach((member, i) => {
    refuseUnless(i === 0 || compare(members[i - 1]!.keyHash, member.keyHash) < 0, "BucketOrder");
    refuseUnless(sameBits(member.keyHash, below, PATH_BITS), "BucketMemberOutside");
  });
  for (const { entry, keyHash } of entries) {
    const member = members.find((each) => equal(each.keyHash, keyHash));
    const valueHash = claimedHash(entry);
    if (member === undefined) refuseUnless(valueHash === null, "BucketWithoutPresent");
    else {
      refuseUnless(valueHash !== null, "BucketWithAbsent");
      refuseUnless(equal(valueHash, member.valueHash), "BucketValue");
    }
  }
  return hashBucket(u8(members.length), leafBytes(members));
}

// Step 4, over the ends from `first` up to `last`. They ascend, so that those on the left come first.
function subtree(
  depth: number,
  first: number,
  last: number,
  ends: readonly End[],
  digests: readonly Uint8Array[],
  siblings: SiblingsLeft,
): Uint8Array {
  if (first === last) return siblings.next("SiblingMissing");
  if (last - first === 1 && ends[first]!.depth === depth) return digests[first]!;
  let middle = first;
  while (middle < last && bit(ends[middle]!.below, depth) === 0) middle++;
  const left = subtree(depth + 1, first, middle, ends, digests, siblings);
  const right = subtree(depth + 1, middle, last, ends, digests, siblings);
  refuseUnless(!(isLoneLeaf(ends, first, middle, depth + 1) && isZero(right)), "LeafSiblingEmpty");
  refuseUnless(!(isLoneLeaf(ends, middle, last, depth + 1) && isZero(left)), "LeafSiblingEmpty");
  return hashInner(left, right);
}

function isLoneLeaf(ends: readonly End[], first: number, last: number, depth: number): boolean {
  if (last - first !== 1 || ends[first]!.depth !== depth) return false;
  return ["own_leaf", "other_leaf"].includes(ends[first]!.place.kind);
}
