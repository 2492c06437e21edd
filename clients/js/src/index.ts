/**
 * Verifies what trunkline proves, written from SPEC.md. Nothing here reads a network, a file or a clock: bytes and what
 * you trust go in, and what is proven comes out, or an error.
 *
 * @module
 */

export { hexToBytes as fromHex, bytesToHex as toHex } from "@noble/hashes/utils.js";
export {
  ArgumentError,
  KeyError,
  MalformedError,
  RefusedError,
  TrunklineError,
  type AncestorRule,
  type AuditRule,
  type ConsistencyRule,
  type EvidenceRule,
  type InclusionRule,
  type KeyFault,
  type MoveRule,
  type ProofRule,
  type Rule,
  type SignatureRule,
} from "./error.js";
export { valueHash } from "./hash.js";
export type { Trusted, TrustedCommitId, TrustedKzgRoot, TrustedRoot, TrustedStateDigest } from "./trusted.js";
export { treeId, type CollisionPolicy, type TreeParams } from "./params.js";
export { commitId, decodeRecord, encodeRecord, type CommitRecord } from "./record.js";
export { decodeProof, encodeProof, PROOF_BYTES_MAX, type Proof } from "./proof/proof.js";
export type { Claim, Entry, Leaf, Place, Terminal, Top, VersionProof } from "./proof/proof.js";
export { moveProof } from "./proof/move.js";
export {
  checkProof,
  Proven,
  verifyAll,
  verifyProof,
  verifyVersions,
  type Held,
  type Unproven,
} from "./proof/verify.js";
export {
  decodeAncestorProof,
  decodeConsistencyProof,
  verifyAncestor,
  verifyConsistency,
  type Ancestor,
  type AncestorProof,
  type Consistent,
  type ConsistencyProof,
  type TrustedHeads,
} from "./history.js";
export {
  decodeEvidence,
  verifyEvidence,
  type Evidence,
  type TrustedReceipt,
  type VerifiedEvidence,
} from "./evidence.js";
export { decodeOutcome, encodeOutcome, type Outcome, type SubmissionOutcome } from "./outcome.js";
export {
  provisionalRoot,
  provisionalStart,
  submissionDigest,
  type Batch,
  type Requirement,
  type Write,
} from "./submission.js";
export {
  decodeBeginning,
  decodeFrame,
  verifyBeginningSignature,
  verifyFrameSignature,
  type Beginning,
  type Frame,
  type SignedBeginning,
  type SignedFrame,
} from "./frame.js";
export { PublicKey } from "./key.js";
export {
  checkAudit,
  decodeAuditProof,
  verifyAudit,
  type AuditBinding,
  type AuditProof,
  type VerifiedAudit,
} from "./audit.js";
