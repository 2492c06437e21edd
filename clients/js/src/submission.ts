// Submission digests and the chain of provisional roots (SPEC.md §12).

import { bytesOf, compare, joined, u16, u64, u8 } from "./bytes.js";
import { hash, keyedHash, ZERO } from "./hash.js";
import { keyHasher, type TreeParams } from "./params.js";

/** A put, or a delete if there is no value. */
export interface Write {
  readonly key: string | Uint8Array;
  readonly value: string | Uint8Array | null;
}

/** What a key must hold before the batch is applied: a value of this hash, or nothing. */
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

/**
 * Returns the digest of a submission. Evidence whose submission has this digest is about this batch. Of several writes
 * to one key, or requirements on one, the last one counts.
 */
export function submissionDigest(params: TreeParams, { writes, requirements = [], metadata }: Batch): Uint8Array {
  const keyHash = keyHasher(params);
  const what = metadata ?? new Uint8Array(0);
  const hashOf = (value: string | Uint8Array | null) => (value === null ? null : hash(bytesOf(value)));
  return hashSubmission(
    joined([
      ...hashed(writes.map(({ key, value }) => [keyHash(bytesOf(key)), hashOf(value)])),
      ...hashed(requirements.map(({ key, valueHash }) => [keyHash(bytesOf(key)), valueHash])),
      u16(what.length),
      what,
    ]),
  );
}

// The number of pairs and the pairs, ascending by key hash.
function hashed(pairs: readonly (readonly [Uint8Array, Uint8Array | null])[]): Uint8Array[] {
  const ascending = pairs.map((pair, at) => ({ pair, at }));
  ascending.sort((a, b) => compare(a.pair[0], b.pair[0]) || a.at - b.at);
  const last = ascending.filter(({ pair }, i) => {
    const next = ascending[i + 1];
    return next === undefined || compare(next.pair[0], pair[0]) !== 0;
  });
  const bytes = last.flatMap(({ pair: [key, value] }) => [key, u8(value === null ? 0 : 1), value ?? ZERO]);
  return [u64(BigInt(last.length)), ...bytes];
}

/** Returns the start of the chain of provisional roots of an open epoch. */
export function provisionalStart(lastCommitId: Uint8Array, openEpoch: bigint): Uint8Array {
  return hashEpoch(lastCommitId, u64(openEpoch));
}

/** Returns the provisional root after one more submission. */
export function provisionalRoot(before: Uint8Array, submission: Uint8Array): Uint8Array {
  return hashProvisional(before, submission);
}
