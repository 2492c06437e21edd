// Proofs over the history (SPEC.md §14).

import { equal, pieces, setBits } from "./bytes.js";
import { Decodings } from "./decodings.js";
import { MalformedError, refuseUnless } from "./error.js";
import { HISTORY, includedIn, Range, rangeDigest, type Inclusion } from "./range.js";
import { carriedRecord, commitId, decodeRecord, encodeRecord, type CommitRecord } from "./record.js";
import { digest } from "./trusted.js";
import { bytes, decode, uint32, uint64 } from "./wire.js";

const HISTORY_BYTES_MAX = 16_384;

/** The messages of `history.proto`. */
export const ANCESTOR_PROOF = {
  format: uint32(1),
  head: bytes(2),
  version: uint64(3),
  commit_id: bytes(4),
  siblings: bytes(5),
  peaks: bytes(6),
};
export const CONSISTENCY_PROOF = {
  format: uint32(1),
  older: bytes(2),
  head: bytes(3),
  peaks: bytes(4),
  nodes: bytes(5),
};

/** A proof that a commit id is that of an older version, in the history of a head. */
export interface AncestorProof {
  readonly head: CommitRecord;
  readonly version: bigint;
  readonly commitId: Uint8Array;
  readonly inclusion: Inclusion;
}

/** A proof that the history of a head continues that of an older head. */
export interface ConsistencyProof {
  /** The record of the older head, unless the client has to add it. */
  readonly older: CommitRecord | null;
  readonly head: CommitRecord;
  readonly peaks: readonly Uint8Array[];
  readonly nodes: readonly Uint8Array[];
}

const ANCESTORS = new Decodings<AncestorProof>("decodeAncestorProof");
const CONSISTENCY = new Decodings<ConsistencyProof>("decodeConsistencyProof");

/** Splits a field into digests, of which there are at most `bound`. */
export function digestsOf(field: Uint8Array, bound: number, name: string): Uint8Array[] {
  if (field.length % 32 !== 0) throw new MalformedError(`${name} are no whole number of digests`);
  if (field.length > 32 * bound) throw new MalformedError(`there are more than ${bound} ${name}`);
  return pieces(field, 32);
}

/** Checks the length of a field that is one digest. */
export function digestOf(field: Uint8Array, name: string): Uint8Array {
  if (field.length !== 32) throw new MalformedError(`${name} does not have 32 bytes`);
  return field;
}

/** Reads siblings and peaks of an inclusion. */
export function inclusionOf(siblings: Uint8Array, peaks: Uint8Array): Inclusion {
  return { siblings: digestsOf(siblings, 63, "siblings"), peaks: digestsOf(peaks, 64, "peaks") };
}

/** Decodes an ancestor proof. */
export function decodeAncestorProof(encoded: Uint8Array): AncestorProof {
  const message = decode(ANCESTOR_PROOF, encoded, HISTORY_BYTES_MAX);
  return ANCESTORS.add({
    head: decodeRecord(message.head),
    version: message.version,
    commitId: digestOf(message.commit_id, "the commit id"),
    inclusion: inclusionOf(message.siblings, message.peaks),
  });
}

/** Decodes a consistency proof. */
export function decodeConsistencyProof(encoded: Uint8Array): ConsistencyProof {
  const message = decode(CONSISTENCY_PROOF, encoded, HISTORY_BYTES_MAX);
  return CONSISTENCY.add({
    older: carriedRecord(message.older),
    head: decodeRecord(message.head),
    peaks: digestsOf(message.peaks, 64, "peaks"),
    nodes: digestsOf(message.nodes, 128, "nodes"),
  });
}

/** The older version that an ancestor proof shows. */
export interface Ancestor {
  readonly treeId: Uint8Array;
  readonly version: bigint;
  /** Verify proofs of what the older version held against this commit id. */
  readonly commitId: Uint8Array;
  readonly headVersion: bigint;
}

/** Verifies an ancestor proof against the commit id of the head, which you trust (§14.2). */
export function verifyAncestor(proof: AncestorProof, headCommitId: Uint8Array): Ancestor {
  ANCESTORS.check(proof);
  digest(headCommitId, "the trusted commit id of the head");
  const { head, version, commitId: older, inclusion } = proof;
  refuseUnless(equal(commitId(head), headCommitId), "HeadCommit");
  refuseUnless(version < head.version, "NotOlder");
  const history = includedIn(HISTORY, head.version, version, older, inclusion);
  refuseUnless(equal(history, head.historyDigest), "Digest");
  refuseUnless(version + 1n !== head.version || equal(older, head.parent), "Parent");
  return { treeId: head.treeId, version, commitId: older, headVersion: head.version };
}

/** The heads that a consistency proof ties together. */
export interface Consistent {
  readonly treeId: Uint8Array;
  readonly olderVersion: bigint;
  readonly headVersion: bigint;
}

/** The trusted facts about two heads: both commit ids, and the older record if only you have it. */
export interface TrustedHeads {
  readonly olderCommitId: Uint8Array;
  readonly headCommitId: Uint8Array;
  /** The record of the older head, encoded. */
  readonly olderRecord?: Uint8Array | null;
}

/** Verifies a consistency proof against the commit ids of both heads (§14.3). */
export function verifyConsistency(proof: ConsistencyProof, trusted: TrustedHeads): Consistent {
  CONSISTENCY.check(proof);
  digest(trusted.olderCommitId, "the trusted commit id of the older head");
  digest(trusted.headCommitId, "the trusted commit id of the head");
  const { head, peaks, nodes } = proof;
  const older = olderOf(proof, trusted.olderRecord ?? null);
  refuseUnless(equal(commitId(older), trusted.olderCommitId), "OlderCommit");
  refuseUnless(equal(commitId(head), trusted.headCommitId), "HeadCommit");
  refuseUnless(equal(older.treeId, head.treeId), "Tree");
  refuseUnless(older.version < head.version, "NotOlder");
  refuseUnless(peaks.length === setBits(older.version), "PeakCount");
  refuseUnless(equal(rangeDigest(HISTORY, older.version, peaks), older.historyDigest), "OlderHistory");
  const range = Range.of(HISTORY, older.version, peaks);
  range.append(trusted.olderCommitId);
  appendNodes(range, older.version + 1n, head.version, nodes);
  refuseUnless(equal(range.digest(head.version), head.historyDigest), "HeadHistory");
  refuseUnless(older.version + 1n !== head.version || equal(head.parent, trusted.olderCommitId), "Parent");
  return { treeId: head.treeId, olderVersion: older.version, headVersion: head.version };
}

function olderOf(proof: ConsistencyProof, added: Uint8Array | null): CommitRecord {
  if (added === null) {
    refuseUnless(proof.older !== null, "NeedsOlder");
    return proof.older;
  }
  refuseUnless(proof.older === null || equal(encodeRecord(proof.older), added), "OtherOlder");
  return decodeRecord(added);
}

// Appends the subtrees by which `from` items become `to` (step 6).
function appendNodes(range: Range, from: bigint, to: bigint, nodes: readonly Uint8Array[]): void {
  let items = from;
  for (const node of nodes) {
    refuseUnless(items < to, "NodeCount");
    const height = subtreeHeight(items, to);
    range.push(height, node);
    items += 1n << BigInt(height);
  }
  refuseUnless(items === to, "NodeCount");
}

// The largest height for which 2^height divides the number of items, and that many more still fit.
function subtreeHeight(items: bigint, to: bigint): number {
  let height = 0;
  while (items % (2n << BigInt(height)) === 0n && items + (2n << BigInt(height)) <= to) height++;
  return height;
}
