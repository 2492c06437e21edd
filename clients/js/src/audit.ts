// Audit proofs (SPEC.md §16).

import { equal, isZero, joined, pieces, scalarOf, u16 } from "./bytes.js";
import { Decodings } from "./decodings.js";
import { MalformedError, refuseUnless } from "./error.js";
import { keyedHash, ZERO } from "./hash.js";
import { holds, onDomain, openingOf, pointOf, valueAt } from "./kzg.js";
import { paramsOf, SLOTS, treeId, type TreeParams } from "./params.js";
import { topNode } from "./proof/verify.js";
import { carriedRecord, commitId, type CommitRecord } from "./record.js";
import { SETUP_ID } from "./setup.js";
import { checkTrusted, NOTHING_TRUSTED, type Nothing, type Trusted } from "./trusted.js";
import { bytes, decode, uint32, uint64 } from "./wire.js";

const AUDIT_BYTES_MAX = 8192;

/** The message of `audit.proto`. */
export const AUDIT_PROOF = {
  format: uint32(1),
  salt: bytes(2),
  collision: uint32(3),
  version: uint64(4),
  record: bytes(5),
  kzg_root: bytes(6),
  empty_slots: bytes(7),
  slots: bytes(8),
  opening: bytes(9),
  nonce: bytes(10),
};

/** A proof that a state digest and a KZG root are made of the same slots. */
export interface AuditProof {
  readonly params: TreeParams;
  readonly version: bigint;
  readonly record: CommitRecord | null;
  readonly kzgRoot: Uint8Array;
  /** The digests of all 128 slots. */
  readonly slots: readonly Uint8Array[];
  readonly opening: Uint8Array;
}

const AUDITS = new Decodings<AuditProof>("decodeAuditProof");

/** Decodes an audit proof. */
export function decodeAuditProof(encoded: Uint8Array): AuditProof {
  const message = decode(AUDIT_PROOF, encoded, AUDIT_BYTES_MAX);
  if (message.kzg_root.length !== 48) throw new MalformedError("a KZG root has 48 bytes");
  if (message.opening.length !== 48) throw new MalformedError("the opening of an audit proof has 48 bytes");
  return AUDITS.add({
    params: paramsOf(message.nonce, message.salt, message.collision),
    version: message.version,
    record: carriedRecord(message.record),
    kzgRoot: message.kzg_root,
    slots: slotsOf(message.empty_slots, message.slots),
    opening: message.opening,
  });
}

function slotsOf(empty: Uint8Array, listed: Uint8Array): Uint8Array[] {
  if (empty.length !== SLOTS / 8) throw new MalformedError("the bitmap of slots has 16 bytes");
  if (listed.length % 32 !== 0) throw new MalformedError("the slots are no whole number of digests");
  const digests = pieces(listed, 32);
  if (digests.some(isZero)) throw new MalformedError("a listed slot is empty");
  let taken = 0;
  const slots = Array.from({ length: SLOTS }, (_, i) => {
    const isEmpty = (empty[i >> 3]! >> (i & 7)) & 1;
    return isEmpty ? ZERO : digests[taken++];
  });
  if (taken !== digests.length) throw new MalformedError("there are more or fewer slots than the bitmap says");
  return slots as Uint8Array[];
}

/** The bound part of an audit proof: with a KZG root alone, the two highest bits of each slot digest are free. */
export type AuditBinding = "both_roots" | "kzg_root" | "nothing";

/** The facts that an audit proof shows. */
export interface VerifiedAudit<B extends AuditBinding = AuditBinding> {
  readonly binds: B;
  readonly treeId: Uint8Array;
  /** Null if what was trusted binds no version. */
  readonly version: bigint | null;
  /** Bound if `binds` is `both_roots`. */
  readonly stateDigest: Uint8Array;
  readonly kzgRoot: Uint8Array;
  readonly slots: readonly Uint8Array[];
}

/** Verifies an audit proof against what you trust (§16.2). */
export function verifyAudit(proof: AuditProof, trusted: Trusted): VerifiedAudit<"both_roots" | "kzg_root"> {
  checkTrusted(trusted);
  return verifyAny(proof, trusted) as VerifiedAudit<"both_roots" | "kzg_root">;
}

/** Checks that the two roots of an audit proof belong together. Trusts nothing: neither root is proven to be yours. */
export function checkAudit(proof: AuditProof): VerifiedAudit<"nothing"> {
  return verifyAny(proof, NOTHING_TRUSTED) as VerifiedAudit<"nothing">;
}

function verifyAny(proof: AuditProof, trusted: Trusted | Nothing): VerifiedAudit {
  AUDITS.check(proof);
  const { params, version, record, kzgRoot, slots } = proof;
  const tree = treeId(params);
  const stateDigest = foldSlots(slots);
  if (record !== null) {
    refuseUnless(equal(record.treeId, tree), "RecordTree");
    refuseUnless(record.version === version, "RecordVersion");
    refuseUnless(equal(record.stateDigest, stateDigest), "RecordState");
  }
  compareTrusted(proof, tree, stateDigest, trusted);
  checkOpening(proof, tree);
  const bound = trusted.kind === "root" || trusted.kind === "commit_id" ? version : null;
  return { binds: bindingOf(trusted), treeId: tree, version: bound, stateDigest, kzgRoot, slots };
}

function foldSlots(slots: readonly Uint8Array[]): Uint8Array {
  let level = slots;
  while (level.length > 1) {
    const below = level;
    level = Array.from({ length: below.length / 2 }, (_, i) => topNode(below[2 * i]!, below[2 * i + 1]!));
  }
  return level[0]!;
}

function bindingOf(trusted: Trusted | Nothing): AuditBinding {
  if (trusted.kind === "nothing") return "nothing";
  return trusted.kind === "kzg_root" ? "kzg_root" : "both_roots";
}

function compareTrusted(
  { version, record, kzgRoot }: AuditProof,
  tree: Uint8Array,
  stateDigest: Uint8Array,
  trusted: Trusted | Nothing,
): void {
  switch (trusted.kind) {
    case "root":
      refuseUnless(equal(trusted.treeId, tree), "TrustedTree");
      refuseUnless(trusted.version === version, "TrustedVersion");
      refuseUnless(record === null || equal(trusted.commitId, commitId(record)), "TrustedCommit");
      refuseUnless(equal(trusted.stateDigest, stateDigest), "TrustedState");
      return refuseUnless(trusted.kzgRoot === null || equal(trusted.kzgRoot, kzgRoot), "TrustedKzgRoot");
    case "commit_id":
      refuseUnless(record !== null, "NeedsRecord");
      return refuseUnless(equal(trusted.commitId, commitId(record)), "TrustedCommit");
    case "state_digest":
      refuseUnless(equal(trusted.treeId, tree), "TrustedTree");
      return refuseUnless(equal(trusted.stateDigest, stateDigest), "TrustedState");
    case "kzg_root":
      refuseUnless(equal(trusted.treeId, tree), "TrustedTree");
      return refuseUnless(equal(trusted.kzgRoot, kzgRoot), "TrustedKzgRoot");
    case "nothing":
      return;
  }
}

const hashPoint = keyedHash("audit point");

/** Returns the point at which an audit proof is checked (§16.2, step 4). */
export function auditPoint(tree: Uint8Array, kzgRoot: Uint8Array, slots: readonly Uint8Array[]): bigint {
  return scalarOf(hashPoint(joined([u16(2), SETUP_ID, tree, kzgRoot, ...slots])));
}

function checkOpening({ kzgRoot, slots, opening }: AuditProof, tree: Uint8Array): void {
  const z = auditPoint(tree, kzgRoot, slots);
  refuseUnless(!onDomain(z), "PointOnDomain");
  const commitment = pointOf(kzgRoot);
  refuseUnless(commitment !== null, "KzgRootPoint");
  const proof = pointOf(opening);
  refuseUnless(proof !== null, "OpeningPoint");
  const y = valueAt(slots.map(scalarOf), z);
  refuseUnless(holds(openingOf(commitment, z, y, proof)), "Opening");
}
