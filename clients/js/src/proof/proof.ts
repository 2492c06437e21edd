// Proofs of keys and their wire form (SPEC.md §7 to §9).

import { joined, pieces } from "../bytes.js";
import { Decodings } from "../decodings.js";
import { MalformedError } from "../error.js";
import { paramsOf, policyNumber, SLOTS, type TreeParams } from "../params.js";
import { carriedBytes, carriedRecord, type CommitRecord } from "../record.js";
import { bytes, chosen, chosenBytes, decode, encode, list, uint32, uint64, type Decoded } from "../wire.js";
import { Siblings } from "./siblings.js";

/** A claim about a key: it has a value, a value of some hash, or none. */
export type Claim =
  | { readonly kind: "value"; readonly value: Uint8Array }
  | { readonly kind: "value_hash"; readonly valueHash: Uint8Array }
  | { readonly kind: "absent" };

/** A key and what is claimed of it. */
export interface Entry {
  readonly key: Uint8Array;
  readonly claim: Claim;
}

/** A leaf, known by its hashes. */
export interface Leaf {
  readonly keyHash: Uint8Array;
  readonly valueHash: Uint8Array;
}

/** The content of a subtree in which paths end. */
export type Place =
  | { readonly kind: "empty" }
  | { readonly kind: "own_leaf" }
  | { readonly kind: "other_leaf"; readonly leaf: Leaf }
  | { readonly kind: "bucket"; readonly members: readonly Leaf[] };

/** A subtree in which the paths of entries end. */
export interface Terminal {
  readonly depth: number;
  readonly place: Place;
}

/** The part of a proof above the slots. */
export type Top =
  { readonly kind: "kzg"; readonly kzgRoot: Uint8Array } | { readonly kind: "hash"; readonly siblings: Siblings };

/** The part of a proof that is about one version. */
export interface VersionProof {
  readonly version: bigint;
  readonly record: CommitRecord | null;
  readonly entries: readonly Entry[];
  readonly terminals: readonly Terminal[];
  readonly siblings: Siblings;
  readonly top: Top;
}

/** The greatest length of an encoded proof. */
export const PROOF_BYTES_MAX = 64 * 1024 * 1024;

const VERSIONS_MAX = 1024;
const ENTRIES_MAX = 65_536;
const KEY_BYTES_MAX = 4096;
const VALUE_BYTES_MAX = 16 * 1024 * 1024;
const LEAF_BYTES = 64;
const KZG_ROOT_BYTES = 48;

const NOTHING = {} as const;

/** The messages of `proof.proto`. */
export const ENTRY = {
  key: bytes(1),
  value: chosenBytes(2),
  value_hash: chosenBytes(3),
  absent: chosen(4, NOTHING),
};
export const TERMINAL = {
  depth: uint32(1),
  empty: chosen(2, NOTHING),
  own_leaf: chosen(3, NOTHING),
  other_leaf: chosenBytes(4),
  bucket: chosenBytes(5),
};
export const HASH_TOP = { empty_siblings: bytes(1), siblings: bytes(2) };
export const VERSION_PROOF = {
  version: uint64(1),
  record: bytes(2),
  entries: list(3, ENTRY, ENTRIES_MAX),
  terminals: list(4, TERMINAL, ENTRIES_MAX),
  empty_siblings: bytes(5),
  siblings: bytes(6),
  kzg_root: chosenBytes(7),
  hash: chosen(8, HASH_TOP),
};
export const PROOF = {
  format: uint32(1),
  salt: bytes(2),
  collision: uint32(3),
  versions: list(4, VERSION_PROOF, VERSIONS_MAX),
  opening: bytes(5),
  nonce: bytes(6),
};

/**
 * A proof of keys at one version or several, as `decodeProof` returns it. That there is one shows nothing:
 * `verifyProof` says whether it holds against something that you trust.
 */
export interface Proof {
  readonly params: TreeParams;
  readonly versions: readonly VersionProof[];
  /** No bytes, π, or W ‖ W′. */
  readonly opening: Uint8Array;
}

/** The proofs that were decoded. */
export const PROOFS = new Decodings<Proof>("decodeProof");

/** Encodes a proof. The encoding of a decoded proof is what it was decoded from. */
export function encodeProof({ params, versions, opening }: Proof): Uint8Array {
  return encode(PROOF, {
    format: 2,
    salt: params.salt ?? new Uint8Array(0),
    collision: policyNumber(params.collision),
    versions: versions.map(versionMessage),
    opening,
    nonce: params.nonce,
  });
}

/** Decodes a proof. Throws a `MalformedError` for everything that is not the one encoding of a proof. */
export function decodeProof(encoded: Uint8Array): Proof {
  const message = decode(PROOF, encoded, PROOF_BYTES_MAX);
  const params = paramsOf(message.nonce, message.salt, message.collision);
  if (message.versions.length === 0) throw new MalformedError("a proof has at least one version");
  if (![0, 48, 96].includes(message.opening.length)) throw new MalformedError("an opening has 0, 48 or 96 bytes");
  return PROOFS.add({ params, versions: message.versions.map(versionOf), opening: message.opening });
}

function versionOf(message: Decoded<typeof VERSION_PROOF>): VersionProof {
  const { entries, terminals } = message;
  if (entries.length === 0) throw new MalformedError("a version has at least one entry");
  if (terminals.length === 0 || terminals.length > entries.length) {
    throw new MalformedError("a version has at least one terminal, and no more terminals than entries");
  }
  return {
    version: message.version,
    record: carriedRecord(message.record),
    entries: entries.map(entryOf),
    terminals: terminals.map(terminalOf),
    siblings: Siblings.of(message.empty_siblings, message.siblings, 49 * terminals.length),
    top: topOf(message, terminals.length),
  };
}

function topOf(message: Decoded<typeof VERSION_PROOF>, terminals: number): Top {
  const { kzg_root: kzgRoot, hash } = message;
  if ((kzgRoot === undefined) === (hash === undefined)) throw new MalformedError("a version has exactly one top");
  if (hash !== undefined) {
    const bound = 7 * Math.min(terminals, SLOTS);
    return { kind: "hash", siblings: Siblings.of(hash.empty_siblings, hash.siblings, bound) };
  }
  if (kzgRoot!.length !== KZG_ROOT_BYTES) throw new MalformedError("a KZG root has 48 bytes");
  return { kind: "kzg", kzgRoot: kzgRoot! };
}

function entryOf(message: Decoded<typeof ENTRY>): Entry {
  const { key, value, value_hash: valueHash, absent } = message;
  if (key.length > KEY_BYTES_MAX) throw new MalformedError(`a key has at most ${KEY_BYTES_MAX} bytes`);
  onlyOne("an entry has exactly one claim", value, valueHash, absent);
  if (absent !== undefined) return { key, claim: { kind: "absent" } };
  if (valueHash !== undefined) {
    if (valueHash.length !== 32) throw new MalformedError("a value hash has 32 bytes");
    return { key, claim: { kind: "value_hash", valueHash } };
  }
  if (value!.length > VALUE_BYTES_MAX) throw new MalformedError(`a value has at most ${VALUE_BYTES_MAX} bytes`);
  return { key, claim: { kind: "value", value: value! } };
}

function terminalOf(message: Decoded<typeof TERMINAL>): Terminal {
  const { depth, empty, own_leaf: ownLeaf, other_leaf: otherLeaf, bucket } = message;
  if (depth < 7 || depth > 56) throw new MalformedError("a terminal has a depth of 7 to 56");
  onlyOne("a terminal has exactly one place", empty, ownLeaf, otherLeaf, bucket);
  if (empty !== undefined) return { depth, place: { kind: "empty" } };
  if (ownLeaf !== undefined) return { depth, place: { kind: "own_leaf" } };
  if (otherLeaf !== undefined) {
    if (otherLeaf.length !== LEAF_BYTES) throw new MalformedError("a leaf has 64 bytes");
    return { depth, place: { kind: "other_leaf", leaf: leafOf(otherLeaf) } };
  }
  const members = bucket!.length / LEAF_BYTES;
  if (!Number.isInteger(members) || members < 2 || members > 16)
    throw new MalformedError("a bucket has 2 to 16 members");
  return { depth, place: { kind: "bucket", members: pieces(bucket!, LEAF_BYTES).map(leafOf) } };
}

function onlyOne(otherwise: string, ...choices: readonly unknown[]): void {
  if (choices.filter((choice) => choice !== undefined).length !== 1) throw new MalformedError(otherwise);
}

function leafOf(both: Uint8Array): Leaf {
  return { keyHash: both.subarray(0, 32), valueHash: both.subarray(32) };
}

/** Writes leaves one behind the other, each as key hash and value hash. */
export function leafBytes(leaves: readonly Leaf[]): Uint8Array {
  return joined(leaves.flatMap((leaf) => [leaf.keyHash, leaf.valueHash]));
}

function versionMessage(version: VersionProof): Decoded<typeof VERSION_PROOF> {
  const { top } = version;
  return {
    version: version.version,
    record: carriedBytes(version.record),
    entries: version.entries.map(entryMessage),
    terminals: version.terminals.map(terminalMessage),
    empty_siblings: version.siblings.bitmap,
    siblings: version.siblings.list,
    kzg_root: top.kind === "kzg" ? top.kzgRoot : undefined,
    hash: top.kind === "hash" ? { empty_siblings: top.siblings.bitmap, siblings: top.siblings.list } : undefined,
  };
}

function entryMessage({ key, claim }: Entry): Decoded<typeof ENTRY> {
  return {
    key,
    value: claim.kind === "value" ? claim.value : undefined,
    value_hash: claim.kind === "value_hash" ? claim.valueHash : undefined,
    absent: claim.kind === "absent" ? NOTHING : undefined,
  };
}

function terminalMessage({ depth, place }: Terminal): Decoded<typeof TERMINAL> {
  return {
    depth,
    empty: place.kind === "empty" ? NOTHING : undefined,
    own_leaf: place.kind === "own_leaf" ? NOTHING : undefined,
    other_leaf: place.kind === "other_leaf" ? leafBytes([place.leaf]) : undefined,
    bucket: place.kind === "bucket" ? leafBytes(place.members) : undefined,
  };
}
