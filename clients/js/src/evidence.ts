// Evidence about a submission (SPEC.md §15).

import { equal } from "./bytes.js";
import { Decodings } from "./decodings.js";
import { refuseUnless } from "./error.js";
import { digestOf, digestsOf, inclusionOf } from "./history.js";
import { decodeOutcome, encodeOutcome, type Outcome, type SubmissionOutcome } from "./outcome.js";
import { includedIn, OUTCOMES, type Inclusion } from "./range.js";
import { commitId, decodeRecord, type CommitRecord } from "./record.js";
import { provisionalRoot } from "./submission.js";
import { digest } from "./trusted.js";
import { bytes, decode, uint32 } from "./wire.js";

const EVIDENCE_BYTES_MAX = 33_562_624;
const LATER_MAX = 1_048_576;
const SEQUENCES = 1n << 64n;

/** The message of `evidence.proto`. */
export const EVIDENCE = {
  format: uint32(1),
  record: bytes(2),
  outcome: bytes(3),
  siblings: bytes(4),
  peaks: bytes(5),
  provisional_before: bytes(6),
  later: bytes(7),
};

/** Evidence that a submission is part of a version, and what became of it. */
export interface Evidence {
  readonly record: CommitRecord;
  readonly outcome: SubmissionOutcome;
  readonly inclusion: Inclusion;
  readonly provisionalBefore: Uint8Array;
  /** Digests of the submissions of the version after this one. */
  readonly later: readonly Uint8Array[];
}

const EVIDENCES = new Decodings<Evidence>("decodeEvidence");

/** Decodes evidence. */
export function decodeEvidence(encoded: Uint8Array): Evidence {
  const message = decode(EVIDENCE, encoded, EVIDENCE_BYTES_MAX);
  return EVIDENCES.add({
    record: decodeRecord(message.record),
    outcome: decodeOutcome(message.outcome),
    inclusion: inclusionOf(message.siblings, message.peaks),
    provisionalBefore: digestOf(message.provisional_before, "the provisional root before"),
    later: digestsOf(message.later, LATER_MAX, "later submissions"),
  });
}

/** The trusted facts about a submission: the provisional root of its receipt, and the commit id of its version. */
export interface TrustedReceipt {
  readonly provisionalRoot: Uint8Array;
  readonly commitId: Uint8Array;
}

/** The facts that evidence shows of a submission. */
export interface VerifiedEvidence {
  readonly treeId: Uint8Array;
  readonly version: bigint;
  readonly sequence: bigint;
  /** The submission's place in its version, from 0. */
  readonly index: bigint;
  /** The submission digest. It is that of your batch if `submissionDigest` gives the same. */
  readonly submission: Uint8Array;
  readonly outcome: Outcome;
  readonly idempotencyKey: Uint8Array;
}

/** Verifies evidence against what you trust (§15.1). */
export function verifyEvidence(evidence: Evidence, trusted: TrustedReceipt): VerifiedEvidence {
  EVIDENCES.check(evidence);
  digest(trusted.provisionalRoot, "the trusted provisional root");
  digest(trusted.commitId, "the trusted commit id");
  const { record, outcome, inclusion, later } = evidence;
  const { sequence, submission } = outcome;
  refuseUnless(equal(commitId(record), trusted.commitId), "Commit");
  const { firstSequence: first, lastSequence: last } = record;
  const count = last - first + 1n;
  refuseUnless(first <= sequence && sequence <= last && count < SEQUENCES, "Sequence");
  const digestOfAll = includedIn(OUTCOMES, count, sequence - first, encodeOutcome(outcome), inclusion);
  refuseUnless(equal(digestOfAll, record.outcomesDigest), "Digest");
  let root = provisionalRoot(evidence.provisionalBefore, submission);
  refuseUnless(equal(root, trusted.provisionalRoot), "ProvisionalRoot");
  refuseUnless(BigInt(later.length) === last - sequence, "LaterCount");
  for (const each of later) root = provisionalRoot(root, each);
  refuseUnless(equal(root, record.provisionalRoot), "Chain");
  return {
    treeId: record.treeId,
    version: record.version,
    sequence,
    index: sequence - first,
    submission,
    outcome: outcome.outcome,
    idempotencyKey: outcome.idempotencyKey,
  };
}
