// Frames and beginnings: what a primary signs (SPEC.md §24).

import { bytesOf, concat, u64, u8 } from "./bytes.js";
import { Decodings } from "./decodings.js";
import { ArgumentError, MalformedError, RefusedError, refuseUnless, type SignatureRule } from "./error.js";
import { hash, keyedHash, type KeyedHash } from "./hash.js";
import { digestOf } from "./history.js";
import { PublicKey } from "./key.js";
import { decompress } from "./lz4.js";
import { paramsOf, treeId, type TreeParams } from "./params.js";
import { commitId, decodeRecord, type CommitRecord } from "./record.js";
import { bytes, decode, uint32, uint64 } from "./wire.js";

const OUTCOMES_BYTES_MAX = 150_994_944;
const EFFECTS_BYTES_MAX = 536_870_912;
const FRAME_BYTES_MAX = OUTCOMES_BYTES_MAX + EFFECTS_BYTES_MAX + 748;
const BEGINNING_BYTES_MAX = 256;
const LZ4 = 1;

/** The messages of `frame.proto`. */
export const FRAME = {
  format: uint32(1),
  record: bytes(2),
  kzg_root: bytes(3),
  signature: bytes(4),
  codec: uint32(5),
  outcomes_bytes: uint32(6),
  effects_bytes: uint32(7),
  outcomes: bytes(8),
  effects: bytes(9),
};
export const BEGINNING = {
  format: uint32(1),
  nonce: bytes(2),
  salt: bytes(3),
  collision: uint32(4),
  epoch: uint64(5),
  version: uint64(6),
  commit_id: bytes(7),
  signature: bytes(8),
};

/** One version as it travels. */
export interface Frame {
  readonly record: CommitRecord;
  readonly kzgRoot: Uint8Array | null;
  /** Outcomes and effects as they are before compression. */
  readonly outcomes: Uint8Array;
  readonly effects: Uint8Array;
  readonly signature: Uint8Array;
}

/** The statement that an epoch begins at a commit id. */
export interface Beginning {
  readonly params: TreeParams;
  readonly epoch: bigint;
  readonly version: bigint;
  readonly commitId: Uint8Array;
  readonly signature: Uint8Array;
}

const FRAMES = new Decodings<Frame>("decodeFrame");
const BEGINNINGS = new Decodings<Beginning>("decodeBeginning");

/** Decodes a frame. */
export function decodeFrame(encoded: Uint8Array): Frame {
  const message = decode(FRAME, encoded, FRAME_BYTES_MAX);
  const { codec, kzg_root: kzgRoot } = message;
  if (codec > LZ4) throw new MalformedError(`codec ${codec} is unknown`);
  if (kzgRoot.length !== 0 && kzgRoot.length !== 48) throw new MalformedError("a KZG root has 48 bytes");
  return FRAMES.add({
    record: decodeRecord(message.record),
    kzgRoot: kzgRoot.length === 0 ? null : kzgRoot,
    outcomes: content(codec, message.outcomes, message.outcomes_bytes, OUTCOMES_BYTES_MAX),
    effects: content(codec, message.effects, message.effects_bytes, EFFECTS_BYTES_MAX),
    signature: signatureOf(message.signature),
  });
}

function content(codec: number, part: Uint8Array, declared: number, bound: number): Uint8Array {
  const length = codec === LZ4 ? declared : part.length;
  if (length > bound) throw new MalformedError(`${length} bytes are more than ${bound}, the bound`);
  if (codec === LZ4) return decompress(part, declared);
  if (declared !== 0) throw new MalformedError("a length before compression is given, and nothing is compressed");
  return part;
}

function signatureOf(signature: Uint8Array): Uint8Array {
  if (signature.length !== 64) throw new MalformedError("a signature has 64 bytes");
  return signature;
}

/** Decodes a beginning. */
export function decodeBeginning(encoded: Uint8Array): Beginning {
  const message = decode(BEGINNING, encoded, BEGINNING_BYTES_MAX);
  return BEGINNINGS.add({
    params: paramsOf(message.nonce, message.salt, message.collision),
    epoch: message.epoch,
    version: message.version,
    commitId: digestOf(message.commit_id, "the commit id"),
    signature: signatureOf(message.signature),
  });
}

/** A frame that the owner of a pinned key signed. */
export interface SignedFrame {
  readonly signer: PublicKey;
  readonly commitId: Uint8Array;
  readonly frame: Frame;
}

/** A beginning that the owner of a pinned key signed. */
export interface SignedBeginning {
  readonly signer: PublicKey;
  readonly treeId: Uint8Array;
  readonly beginning: Beginning;
}

const hashFrame = keyedHash("frame signature");
const hashBeginning = keyedHash("beginning signature");

/**
 * Returns which of the keys that you pin signed a frame. That shows that its owner signed exactly this, and no more:
 * nothing here checks that the record follows from the one before it, or that outcomes, effects and KZG root belong
 * to it.
 */
export function verifyFrameSignature(frame: Frame, keys: readonly PublicKey[]): SignedFrame {
  FRAMES.check(frame);
  const { record, kzgRoot, outcomes, effects, signature } = frame;
  const id = commitId(record);
  const covered = concat(
    record.treeId,
    u64(record.openEpoch),
    u64(record.version),
    id,
    ...(kzgRoot === null ? [u8(0)] : [u8(1), kzgRoot]),
    hash(outcomes),
    hash(effects),
  );
  const message = signedMessage("trunkline v1 frame signature", hashFrame, covered);
  return { signer: signerOf(message, signature, keys), commitId: id, frame };
}

/** Returns which of the keys that you pin signed a beginning. That shows that its owner stated exactly this. */
export function verifyBeginningSignature(beginning: Beginning, keys: readonly PublicKey[]): SignedBeginning {
  BEGINNINGS.check(beginning);
  const { params, epoch, version, commitId: id, signature } = beginning;
  const tree = treeId(params);
  const covered = concat(tree, u64(epoch), u64(version), id);
  const message = signedMessage("trunkline v1 beginning signature", hashBeginning, covered);
  return { signer: signerOf(message, signature, keys), treeId: tree, beginning };
}

function signedMessage(name: string, keyed: KeyedHash, covered: Uint8Array): Uint8Array {
  return concat(bytesOf(name), keyed(covered));
}

function signerOf(message: Uint8Array, signature: Uint8Array, keys: readonly PublicKey[]): PublicKey {
  if (!Array.isArray(keys) || !keys.every((key) => key instanceof PublicKey)) {
    throw new ArgumentError("give the pinned keys as a list of PublicKeys");
  }
  refuseUnless<SignatureRule>(keys.length > 0, "NoKey");
  const signer = keys.find((key) => key.hasSigned(message, signature));
  if (signer === undefined) throw new RefusedError<SignatureRule>("OtherKey");
  return signer;
}
