// Commit records (SPEC.md §4).

import { concat, u16, u64, view } from "./bytes.js";
import { MalformedError } from "./error.js";
import { keyedHash } from "./hash.js";

/** All that a commit id binds. Integers of 64 bits are `bigint`, digests are 32 bytes. */
export interface CommitRecord {
  readonly treeId: Uint8Array;
  readonly version: bigint;
  /** Commit id of the version before. */
  readonly parent: Uint8Array;
  readonly openEpoch: bigint;
  readonly firstSequence: bigint;
  readonly lastSequence: bigint;
  readonly provisionalRoot: Uint8Array;
  readonly outcomesDigest: Uint8Array;
  readonly stateDigest: Uint8Array;
  readonly keyCount: bigint;
  readonly historyDigest: Uint8Array;
  /** The caller's own, at most 256 bytes. */
  readonly metadata: Uint8Array;
}

const FIXED_BYTES = 236;
const METADATA_BYTES_MAX = 256;
const FORMAT = 2;

/** Decodes a record. What is returned refers to the given bytes. */
export function decodeRecord(bytes: Uint8Array): CommitRecord {
  if (bytes.length < FIXED_BYTES || bytes.length > FIXED_BYTES + METADATA_BYTES_MAX) {
    throw new MalformedError(`a commit record has 236 to 492 bytes, not ${bytes.length}`);
  }
  const numbers = view(bytes);
  const format = numbers.getUint16(0, true);
  if (format !== FORMAT) throw new MalformedError(`the commit record is of format ${format}, not 2`);
  if (numbers.getUint16(234, true) !== bytes.length - FIXED_BYTES) {
    throw new MalformedError("the metadata of a commit record does not end where the record does");
  }
  const digest = (at: number) => bytes.subarray(at, at + 32);
  const number = (at: number) => numbers.getBigUint64(at, true);
  return {
    treeId: digest(2),
    version: number(34),
    parent: digest(42),
    openEpoch: number(74),
    firstSequence: number(82),
    lastSequence: number(90),
    provisionalRoot: digest(98),
    outcomesDigest: digest(130),
    stateDigest: digest(162),
    keyCount: number(194),
    historyDigest: digest(202),
    metadata: bytes.subarray(FIXED_BYTES),
  };
}

/** Encodes a record. */
export function encodeRecord(record: CommitRecord): Uint8Array {
  return concat(
    u16(FORMAT),
    record.treeId,
    u64(record.version),
    record.parent,
    u64(record.openEpoch),
    u64(record.firstSequence),
    u64(record.lastSequence),
    record.provisionalRoot,
    record.outcomesDigest,
    record.stateDigest,
    u64(record.keyCount),
    record.historyDigest,
    u16(record.metadata.length),
    record.metadata,
  );
}

const hashCommitId = keyedHash("commit id");

/** Returns the commit id of a record. */
export function commitId(record: CommitRecord): Uint8Array {
  return hashCommitId(encodeRecord(record));
}

/** Decodes a record that a message may carry: no bytes stand for none. */
export function carriedRecord(bytes: Uint8Array): CommitRecord | null {
  return bytes.length === 0 ? null : decodeRecord(bytes);
}

/** Encodes a record that a message may carry. */
export function carriedBytes(record: CommitRecord | null): Uint8Array {
  return record === null ? new Uint8Array(0) : encodeRecord(record);
}
