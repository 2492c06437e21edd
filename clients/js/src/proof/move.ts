// Moving a proof to a later version (SPEC.md §10.5).

import { bit, compare, equal, sameBits } from "../bytes.js";
import { refuseUnless } from "../error.js";
import { hash, hashInner } from "../hash.js";
import { SLOT_BITS, treeId } from "../params.js";
import { decodeProof, encodeProof, PROOFS, type Claim, type Leaf, type Proof, type Terminal } from "./proof.js";
import { Siblings, type SiblingsLeft } from "./siblings.js";
import { digestOf, endsOf, isPresent, claimedHash, type End, type HashedEntry } from "./slots.js";
import { topNode } from "./verify.js";

/** The leaves at a terminal: none, one, or the members of a bucket. */
type Held = readonly Leaf[];

type Node =
  | { readonly kind: "sibling"; readonly digest: Uint8Array }
  | { readonly kind: "end"; readonly digest: Uint8Array; readonly depth: number; readonly held: Held }
  | { readonly kind: "fork"; readonly digest: Uint8Array; readonly left: Node; readonly right: Node };

/**
 * Moves a proof to the later version of a change: a proof of every key that was written in between, as it is there.
 * Both have one version and a hash top. **The result is not verified**: verify it like any proof, against a root of the
 * later version. If the change left out a written key, that refuses it.
 */
export function moveProof(proof: Proof, change: Proof): Proof {
  PROOFS.check(proof);
  PROOFS.check(change);
  refuseUnless(equal(treeId(proof.params), treeId(change.params)), "OtherTree");
  const [before, after] = [new Reading(proof), new Reading(change)];
  refuseUnless(proof.versions[0]!.version < change.versions[0]!.version, "NotLater");
  const entries = changedEntries(before.entries, after.entries);
  const walk = new Walk();
  walk.both(before.root, after.root, 0, entries);
  const moved = {
    params: proof.params,
    versions: [
      {
        version: change.versions[0]!.version,
        record: change.versions[0]!.record,
        entries: entries.map(({ entry }) => entry),
        terminals: walk.terminals,
        siblings: Siblings.from(walk.below),
        top: { kind: "hash" as const, siblings: Siblings.from(walk.top) },
      },
    ],
    opening: new Uint8Array(0),
  };
  return decodeProof(encodeProof(moved)); // which checks the bounds
}

/** A proof of one version, read as a tree of nodes. */
class Reading {
  readonly root: Node;
  readonly entries: readonly HashedEntry[];
  readonly #ends: readonly End[];
  readonly #digests: readonly Uint8Array[];
  readonly #top: SiblingsLeft;
  readonly #below: SiblingsLeft;

  constructor({ params, versions }: Proof) {
    const [version] = versions;
    refuseUnless(versions.length === 1 && version!.top.kind === "hash", "OneVersion");
    this.#ends = endsOf(version!, params);
    this.#digests = this.#ends.map((end) => digestOf(end, params));
    this.#top = (version!.top as { siblings: Siblings }).siblings.take();
    this.#below = version!.siblings.take();
    this.root = this.#node(0, 0, this.#ends.length);
    this.#top.end("TopSiblingUnused");
    this.#below.end("SiblingUnused");
    this.entries = this.#ends.flatMap(({ entries }) => entries);
  }

  #node(depth: number, first: number, last: number): Node {
    if (first === last) return { kind: "sibling", digest: this.#sibling(depth) };
    const end = this.#ends[first]!;
    if (last - first === 1 && end.depth === depth) {
      return { kind: "end", digest: this.#digests[first]!, depth, held: heldBy(end) };
    }
    let middle = first;
    while (middle < last && bit(this.#ends[middle]!.below, depth) === 0) middle++;
    const left = this.#node(depth + 1, first, middle);
    const right = this.#node(depth + 1, middle, last);
    const digest = depth < SLOT_BITS ? topNode(left.digest, right.digest) : hashInner(left.digest, right.digest);
    return { kind: "fork", digest, left, right };
  }

  #sibling(depth: number): Uint8Array {
    return depth <= SLOT_BITS ? this.#top.next("TopSiblingMissing") : this.#below.next("SiblingMissing");
  }
}

function heldBy({ place, entries }: End): Held {
  switch (place.kind) {
    case "empty":
      return [];
    case "own_leaf": {
      const { keyHash, entry } = entries.find(isPresent)!;
      return [{ keyHash, valueHash: claimedHash(entry)! }];
    }
    case "other_leaf":
      return [place.leaf];
    case "bucket":
      return place.members;
  }
}

// The entries of the proof, with the claims that the change has of them. A value stays where its hash is claimed again.
function changedEntries(before: readonly HashedEntry[], after: readonly HashedEntry[]): HashedEntry[] {
  let next = 0;
  return before.map((old) => {
    while (next < after.length && compare(after[next]!.keyHash, old.keyHash) < 0) next++;
    const changed = after[next];
    if (changed === undefined || !equal(changed.keyHash, old.keyHash)) return old;
    const { claim } = changed.entry;
    if (isHashOf(claim, old.entry.claim)) return old;
    return { keyHash: old.keyHash, entry: { key: old.entry.key, claim } };
  });
}

function isHashOf(claim: Claim, old: Claim): boolean {
  return claim.kind === "value_hash" && old.kind === "value" && equal(claim.valueHash, hash(old.value));
}

/** The terminals and siblings of the new proof, as the walk over both trees appends them. */
class Walk {
  readonly terminals: Terminal[] = [];
  readonly top: Uint8Array[] = [];
  readonly below: Uint8Array[] = [];

  both(old: Node, now: Node, depth: number, entries: readonly HashedEntry[]): void {
    if (entries.length === 0) return this.#put(depth, now.digest);
    switch (now.kind) {
      case "fork": {
        refuseUnless(old.kind !== "sibling", "Contradiction");
        const [left, right] = old.kind === "fork" ? [old.left, old.right] : [old, old];
        const halves = halvesOf(entries, depth);
        this.both(left, now.left, depth + 1, halves[0]);
        return this.both(right, now.right, depth + 1, halves[1]);
      }
      case "end":
        return this.#terminal(depth, now.held, entries);
      case "sibling":
        return this.#copy(old, depth, entries);
    }
  }

  #copy(old: Node, depth: number, entries: readonly HashedEntry[]): void {
    switch (old.kind) {
      case "sibling":
        return this.#put(depth, old.digest);
      case "fork": {
        const halves = halvesOf(entries, depth);
        this.#copy(old.left, depth + 1, halves[0]);
        return this.#copy(old.right, depth + 1, halves[1]);
      }
      case "end":
        return this.#terminal(depth, old.depth === depth ? old.held : fromAbove(old.held, depth, entries), entries);
    }
  }

  #put(depth: number, digest: Uint8Array): void {
    (depth <= SLOT_BITS ? this.top : this.below).push(digest);
  }

  #terminal(depth: number, held: Held, entries: readonly HashedEntry[]): void {
    this.terminals.push({ depth, place: placeOf(held, entries) });
  }
}

// What an end further up holds of the place of these entries.
function fromAbove(held: Held, depth: number, entries: readonly HashedEntry[]): Held {
  refuseUnless(held.length < 2, "Contradiction");
  return held.filter(({ keyHash }) => sameBits(keyHash, entries[0]!.keyHash, depth));
}

function placeOf(held: Held, entries: readonly HashedEntry[]): Terminal["place"] {
  const [leaf] = held;
  if (leaf === undefined) return { kind: "empty" };
  if (held.length > 1) return { kind: "bucket", members: held };
  const isOwn = entries.some(({ keyHash }) => equal(keyHash, leaf.keyHash));
  return isOwn ? { kind: "own_leaf" } : { kind: "other_leaf", leaf };
}

function halvesOf(entries: readonly HashedEntry[], depth: number): [readonly HashedEntry[], readonly HashedEntry[]] {
  const middle = entries.findIndex(({ keyHash }) => bit(keyHash, depth) === 1);
  return middle < 0 ? [entries, []] : [entries.slice(0, middle), entries.slice(middle)];
}
