// Submission digests and the chain of provisional roots (SPEC.md §12).

import { bytesOf, compare, equal, joined, u16, u64, u8 } from "./bytes.js";
import { hash, keyedHash, ZERO } from "./hash.js";
import { keyHasher, type TreeParams } from "./params.js";

/** A put, or a delete if there is no value. */
export interface Write {
  readonly key: string | Uint8Array;
  readonly value: string | Uint8Array | null;
}

/** A condition on a key before the batch is applied: a value of this hash, or no value. */
export interface Requirement {
  readonly key: string | Uint8Array;
  readonly valueHash: Uint8Array | null;
}

/** A batch, as its caller submits it. */
export interface Batch {
  readonly writes: readonly Write[];
  readonly requirements?: readonly Requirement[];
  readonly metadata?: Uint8Array;
}

const hashSubmission = keyedHash("submission");
const hashEpoch = keyedHash("epoch");
const hashProvisional = keyedHash("provisional root");

type Hashed = readonly [keyHash: Uint8Array, valueHash: Uint8Array | null];

/**
 * Returns the digest of a submission. Evidence whose submission has this digest is about this batch. Of several writes
 * to one key the last one counts; requirements all do.
 */
export function submissionDigest(params: TreeParams, { writes, requirements = [], metadata }: Batch): Uint8Array {
  const keyHash = keyHasher(params);
  const what = metadata ?? new Uint8Array(0);
  const hashOf = (value: string | Uint8Array | null) => (value === null ? null : hash(bytesOf(value)));
  const written = ascending(writes.map(({ key, value }) => [keyHash(bytesOf(key)), hashOf(value)]));
  const required = ascending(requirements.map(({ key, valueHash }) => [keyHash(bytesOf(key)), valueHash]));
  return hashSubmission(joined([...body(written.filter(isLastOfKey)), ...body(required), u16(what.length), what]));
}

// Those of one key stay in their order: sorting is stable.
function ascending(pairs: Hashed[]): Hashed[] {
  return pairs.sort((a, b) => compare(a[0], b[0]));
}

function isLastOfKey([keyHash]: Hashed, at: number, all: readonly Hashed[]): boolean {
  const next = all[at + 1];
  return next === undefined || !equal(next[0], keyHash);
}

function body(pairs: readonly Hashed[]): Uint8Array[] {
  const parts = pairs.flatMap(([keyHash, valueHash]) => [keyHash, u8(valueHash === null ? 0 : 1), valueHash ?? ZERO]);
  return [u64(BigInt(pairs.length)), ...parts];
}

/** Returns the start of the chain of provisional roots of an open epoch. */
export function provisionalStart(lastCommitId: Uint8Array, openEpoch: bigint): Uint8Array {
  return hashEpoch(lastCommitId, u64(openEpoch));
}

/** Returns the provisional root after one more submission. */
export function provisionalRoot(before: Uint8Array, submission: Uint8Array): Uint8Array {
  return hashProvisional(before, submission);
}
