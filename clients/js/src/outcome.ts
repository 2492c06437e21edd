// What became of a submission (SPEC.md §13).

import { concat, isZero, u64, u8, view } from "./bytes.js";
import { MalformedError } from "./error.js";

/** The outcome of a submission. */
export type Outcome =
  /** Applied; policy `overwrite` displaced this many keys. */
  | { readonly kind: "applied"; readonly displaced: number }
  /** Not applied: a requirement on this key hash did not hold. */
  | { readonly kind: "requirement_failed"; readonly keyHash: Uint8Array }
  /** Not applied: a bucket would have a 17th member. The hash is that of the newest key on the path. */
  | { readonly kind: "bucket_full"; readonly keyHash: Uint8Array }
  /** Not applied: the path is taken, and the policy is `reject`. The hash is that of the newest key on the path. */
  | { readonly kind: "path_taken"; readonly keyHash: Uint8Array }
  /** The version took the state of an older version back, whose commit id this is. */
  | { readonly kind: "reverted"; readonly commitId: Uint8Array };

/** A submission and its outcome. */
export interface SubmissionOutcome {
  readonly sequence: bigint;
  /** The submission digest (§12). */
  readonly submission: Uint8Array;
  readonly outcome: Outcome;
  /** The caller's name of the submission. No bytes stand for none. */
  readonly idempotencyKey: Uint8Array;
}

const FIXED_BYTES = 74;
const KEY_BYTES_MAX = 64;

/** Decodes an outcome. What is returned refers to the given bytes. */
export function decodeOutcome(bytes: Uint8Array): SubmissionOutcome {
  if (bytes.length < FIXED_BYTES) throw new MalformedError("an outcome has at least 74 bytes");
  const keyBytes = bytes[73]!;
  if (keyBytes > KEY_BYTES_MAX) throw new MalformedError("an idempotency key has at most 64 bytes");
  if (bytes.length !== FIXED_BYTES + keyBytes) throw new MalformedError("an outcome ends where its key does");
  return {
    sequence: view(bytes).getBigUint64(0, true),
    submission: bytes.subarray(8, 40),
    outcome: outcomeOf(bytes[40]!, bytes.subarray(41, 73)),
    idempotencyKey: bytes.subarray(FIXED_BYTES),
  };
}

function outcomeOf(code: number, detail: Uint8Array): Outcome {
  switch (code) {
    case 0:
      if (!isZero(detail.subarray(4))) throw new MalformedError("an outcome has a detail that its code does not have");
      return { kind: "applied", displaced: view(detail).getUint32(0, true) };
    case 1:
      return { kind: "requirement_failed", keyHash: detail };
    case 2:
      return { kind: "bucket_full", keyHash: detail };
    case 3:
      return { kind: "path_taken", keyHash: detail };
    case 4:
      return { kind: "reverted", commitId: detail };
    default:
      throw new MalformedError(`${code} is no code of an outcome`);
  }
}

/** Encodes an outcome. */
export function encodeOutcome({ sequence, submission, outcome, idempotencyKey }: SubmissionOutcome): Uint8Array {
  const { code, detail } = written(outcome);
  return concat(u64(sequence), submission, u8(code), detail, u8(idempotencyKey.length), idempotencyKey);
}

function written(outcome: Outcome): { code: number; detail: Uint8Array } {
  switch (outcome.kind) {
    case "applied": {
      const detail = new Uint8Array(32);
      view(detail).setUint32(0, outcome.displaced, true);
      return { code: 0, detail };
    }
    case "requirement_failed":
      return { code: 1, detail: outcome.keyHash };
    case "bucket_full":
      return { code: 2, detail: outcome.keyHash };
    case "path_taken":
      return { code: 3, detail: outcome.keyHash };
    case "reverted":
      return { code: 4, detail: outcome.commitId };
  }
}
