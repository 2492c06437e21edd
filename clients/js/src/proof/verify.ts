// Verification of proofs of keys (SPEC.md §10).

import { bytesToHex } from "@noble/hashes/utils.js";
import { bytesOf, equal, isZero, scalarOf } from "../bytes.js";
import { ArgumentError, refuseUnless } from "../error.js";
import { hashInner, ZERO } from "../hash.js";
import { aggregateOf, allHold, holds, openingOf, pointOf, POINTS, type Equation, type Opened } from "../kzg.js";
import { SLOT_BITS, slotBit, treeId } from "../params.js";
import { commitId, type CommitRecord } from "../record.js";
import { checkTrusted, NOTHING_TRUSTED, type Nothing, type Trusted } from "../trusted.js";
import { PROOFS, type Claim, type Entry, type Proof, type VersionProof } from "./proof.js";
import type { SiblingsLeft } from "./siblings.js";
import { slotsOf, type Slot } from "./slots.js";

/** The result for one version of a proof, given what was trusted. What is not bound is null. */
export class Proven {
  readonly #claims: ReadonlyMap<string, Claim>;

  /** Made by `verifyProof` and `verifyVersions` alone. */
  constructor(
    /** The kind of what was trusted. */
    readonly boundTo: Trusted["kind"],
    readonly treeId: Uint8Array,
    /** Bound by a root and a commit id. */
    readonly version: bigint | null,
    /** Bound by a root and a commit id. */
    readonly commitId: Uint8Array | null,
    /** Bound if the proof has a hash top, or a root was trusted. */
    readonly stateDigest: Uint8Array | null,
    /** Bound if the proof has a KZG top, or a root with one was trusted. */
    readonly kzgRoot: Uint8Array | null,
    /** The commit record of the version, if the proof carries it and it is bound. */
    readonly record: CommitRecord | null,
    /** All keys of the proof with their claims, ascending by key hash. */
    readonly entries: readonly Entry[],
  ) {
    this.#claims = new Map(entries.map(({ key, claim }) => [bytesToHex(key), claim]));
  }

  /** Returns what is proven of a key. A key of which the proof says nothing is unknown, not absent: `undefined`. */
  claim(key: string | Uint8Array): Claim | undefined {
    return this.#claims.get(bytesToHex(bytesOf(key)));
  }
}

/** The claims of a proof about one version, with nothing trusted. **Nothing of this is proven.** */
export interface Unproven {
  readonly boundTo: "nothing";
  readonly claimedTreeId: Uint8Array;
  readonly claimedVersion: bigint;
  readonly claimedEntries: readonly Entry[];
}

/**
 * Verifies a proof of one version against what you trust. Throws a `RefusedError` if it does not hold; then it shows
 * nothing, neither its claims nor the contrary.
 */
export function verifyProof(proof: Proof, trusted: Trusted): Proven {
  return verifyVersions(proof, [trusted])[0]!;
}

/** Verifies a proof of several versions, with one trusted thing for each of them. */
export function verifyVersions(proof: Proof, trusted: readonly Trusted[]): Proven[] {
  if (!Array.isArray(trusted)) throw new ArgumentError("give a list of trusted things, one for each version");
  trusted.forEach(checkTrusted);
  return verifyEach(proof, trusted).map((proven) => {
    if (proven.boundTo === "nothing") throw new ArgumentError("nothing was trusted");
    return proven;
  });
}

/** A proof, and what you trust of each of its versions. */
export interface Held {
  readonly proof: Proof;
  readonly trusted: readonly Trusted[];
}

/**
 * Verifies many proofs together: it takes one check of pairings for all openings. Throws for all if one does not hold;
 * if the code is `Opening`, only verifying them one by one tells which.
 */
export function verifyAll(proofs: readonly Held[]): Proven[][] {
  const equations: Equation[] = [];
  const proven = proofs.map(({ proof, trusted }) => {
    trusted.forEach(checkTrusted);
    const { shown, equation } = equationOf(proof, trusted);
    if (equation !== null) equations.push(equation);
    return shown as Proven[];
  });
  refuseUnless(allHold(equations), "Opening");
  return proven;
}

/** Checks that a proof agrees with itself. Trusts nothing and so proves nothing: it is for looking at proofs. */
export function checkProof(proof: Proof): Unproven[] {
  PROOFS.check(proof);
  const nothing = proof.versions.map(() => NOTHING_TRUSTED);
  return verifyEach(proof, nothing) as Unproven[];
}

/** Verifies a proof of which parts may be held against nothing. */
export function verifyEach(proof: Proof, trusted: readonly (Trusted | Nothing)[]): (Proven | Unproven)[] {
  const { shown, equation } = equationOf(proof, trusted);
  refuseUnless(equation === null || holds(equation), "Opening");
  return shown;
}

interface Shown {
  /** Shown only if the equation holds. */
  readonly shown: (Proven | Unproven)[];
  readonly equation: Equation | null;
}

function equationOf(proof: Proof, trusted: readonly (Trusted | Nothing)[]): Shown {
  PROOFS.check(proof);
  const { params, versions, opening } = proof;
  refuseUnless(trusted.length === versions.length, "ExpectedCount");
  versions.forEach(({ version }, i) => refuseUnless(i === 0 || versions[i - 1]!.version < version, "VersionOrder"));
  const tree = treeId(params);
  const opened: Opened[] = [];
  const shown = versions.map((version, i) => {
    const slots = slotsOf(version, params);
    const { top } = version;
    if (top.kind === "kzg") {
      const values = slots.map(({ slot, digest }) => ({ slot, value: scalarOf(digest) }));
      opened.push({ version: version.version, kzgRoot: top.kzgRoot, slots: values });
    }
    return hold(version, tree, stateOf(version, slots), trusted[i]!);
  });
  return { shown, equation: openingEquation(opened, opening) };
}

// The state digest of a hash top, and none of a KZG top (§10.2).
function stateOf({ top }: VersionProof, slots: readonly Slot[]): Uint8Array | null {
  if (top.kind === "kzg") return null;
  const siblings = top.siblings.take();
  const state = foldTop(0, slots, siblings);
  siblings.end("TopSiblingUnused");
  return state;
}

function foldTop(depth: number, slots: readonly Slot[], siblings: SiblingsLeft): Uint8Array {
  if (slots.length === 0) return siblings.next("TopSiblingMissing");
  if (depth === SLOT_BITS) return slots[0]!.digest;
  const left = foldTop(
    depth + 1,
    slots.filter(({ slot }) => slotBit(slot, depth) === 0),
    siblings,
  );
  const right = foldTop(
    depth + 1,
    slots.filter(({ slot }) => slotBit(slot, depth) === 1),
    siblings,
  );
  return topNode(left, right);
}

/** Returns the digest of a node above the slots (§2.5). */
export function topNode(left: Uint8Array, right: Uint8Array): Uint8Array {
  return isZero(left) && isZero(right) ? ZERO : hashInner(left, right);
}

// Holds one version against what is trusted (§10.2, §10.3).
function hold(
  { version, record, entries, top }: VersionProof,
  tree: Uint8Array,
  state: Uint8Array | null,
  trusted: Trusted | Nothing,
): Proven | Unproven {
  if (record !== null) {
    refuseUnless(equal(record.treeId, tree), "RecordTree");
    refuseUnless(record.version === version, "RecordVersion");
    refuseUnless(state === null || equal(record.stateDigest, state), "RecordState");
  }
  const id = record === null ? null : commitId(record);
  const root = top.kind === "kzg" ? top.kzgRoot : null;
  switch (trusted.kind) {
    case "root": {
      refuseUnless(equal(trusted.treeId, tree), "ExpectedTree");
      refuseUnless(trusted.version === version, "ExpectedVersion");
      refuseUnless(id === null || equal(trusted.commitId, id), "ExpectedCommit");
      refuseUnless(root === null || trusted.kzgRoot !== null, "NeedsHashTop");
      refuseUnless(state === null || equal(trusted.stateDigest, state), "ExpectedState");
      refuseUnless(root === null || equal(trusted.kzgRoot!, root), "ExpectedKzgRoot");
      const { commitId: trustedId, stateDigest, kzgRoot } = trusted;
      return new Proven("root", tree, version, trustedId, stateDigest, kzgRoot, record, entries);
    }
    case "commit_id":
      refuseUnless(id !== null, "NeedsRecord");
      refuseUnless(state !== null, "NeedsHashTop");
      refuseUnless(equal(trusted.commitId, id), "ExpectedCommit");
      return new Proven("commit_id", tree, version, id, state, null, record, entries);
    case "state_digest":
      refuseUnless(state !== null, "NeedsHashTop");
      refuseUnless(equal(trusted.treeId, tree), "ExpectedTree");
      refuseUnless(equal(trusted.stateDigest, state), "ExpectedState");
      return new Proven("state_digest", tree, null, null, state, null, null, entries);
    case "kzg_root":
      refuseUnless(root !== null, "NeedsKzgTop");
      refuseUnless(equal(trusted.treeId, tree), "ExpectedTree");
      refuseUnless(equal(trusted.kzgRoot, root), "ExpectedKzgRoot");
      return new Proven("kzg_root", tree, null, null, null, root, null, entries);
    case "nothing":
      return { boundTo: "nothing", claimedTreeId: tree, claimedVersion: version, claimedEntries: entries };
  }
}

// One equation for all versions with a KZG top, and none if there is no such version (§10.4).
function openingEquation(opened: readonly Opened[], opening: Uint8Array): Equation | null {
  const slots = opened.reduce((count, version) => count + version.slots.length, 0);
  refuseUnless(opening.length === Math.min(slots, 2) * 48, "OpeningKind");
  if (slots === 0) return null;
  const equation = slots === 1 ? single(opened[0]!, opening) : aggregateOf(opened, opening);
  refuseUnless(equation !== null, "Opening");
  return equation;
}

function single({ kzgRoot, slots }: Opened, opening: Uint8Array) {
  const commitment = pointOf(kzgRoot);
  const proof = pointOf(opening);
  const { slot, value } = slots[0]!;
  return commitment === null || proof === null ? null : openingOf(commitment, POINTS[slot]!, value, proof);
}
