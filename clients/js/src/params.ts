// The parameters of a tree (SPEC.md §2).

import { bit, u16, u8 } from "./bytes.js";
import { MalformedError } from "./error.js";
import { derivedKey, hash, keyed, keyedHash, keyOf, ZERO } from "./hash.js";
import { SETUP_ID } from "./setup.js";

/** The rule for a second key on one path (§2.4). */
export type CollisionPolicy = "bucket" | "overwrite" | "reject";

const POLICIES: readonly CollisionPolicy[] = ["bucket", "overwrite", "reject"];

/** The parameters that never change, and determine the tree id. */
export interface TreeParams {
  /** 16 bytes. */
  readonly nonce: Uint8Array;
  /** 32 bytes, or none. */
  readonly salt: Uint8Array | null;
  readonly collision: CollisionPolicy;
}

export const SLOTS = 128;
export const SLOT_BITS = 7;
export const PATH_BITS = 56;
export const BUCKET_BOUND = 16;

export const NONCE_BYTES = 16;
export const SALT_BYTES = 32;

/** Returns the parameters of the fields `nonce`, `salt` and `collision` of a message. */
export function paramsOf(nonce: Uint8Array, salt: Uint8Array, collision: number): TreeParams {
  if (nonce.length !== NONCE_BYTES) throw new MalformedError("the nonce does not have 16 bytes");
  if (salt.length !== 0 && salt.length !== SALT_BYTES) throw new MalformedError("the salt does not have 32 bytes");
  const policy = POLICIES[collision];
  if (policy === undefined) throw new MalformedError(`${collision} is no collision policy`);
  return { nonce, salt: salt.length === 0 ? null : salt, collision: policy };
}

/** Returns the number of a policy. */
export function policyNumber(policy: CollisionPolicy): number {
  return POLICIES.indexOf(policy);
}

const hashTreeId = keyedHash("tree id");

/** Returns the id of the tree that has these parameters (§2.8). */
export function treeId(params: TreeParams): Uint8Array {
  return hashTreeId(
    u16(2),
    u16(SLOTS),
    u8(8),
    u8(PATH_BITS),
    params.nonce,
    u8(params.salt === null ? 0 : 1),
    params.salt ?? ZERO,
    u8(policyNumber(params.collision)),
    u8(BUCKET_BOUND),
    keyOf("leaf"),
    keyOf("inner"),
    keyOf("bucket"),
    SETUP_ID,
  );
}

/** Returns the function from keys to key hashes of a tree (§2.1). */
export function keyHasher(params: TreeParams): (key: Uint8Array) => Uint8Array {
  return params.salt === null ? hash : keyed(derivedKey("trunkline v2 path key", params.salt));
}

/** Returns the slot of a key hash: its first 7 bits. */
export function slotOf(keyHash: Uint8Array): number {
  return keyHash[0]! >> 1;
}

/** Returns bit `depth` of a slot, the first one being the most significant of 7. */
export function slotBit(slot: number, depth: number): number {
  return bit(Uint8Array.of(slot << 1), depth);
}
