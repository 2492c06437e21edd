// The hashes of SPEC.md §1.

import { blake3 } from "@noble/hashes/blake3.js";
import { bytesOf, concat } from "./bytes.js";

/** 32 zero bytes: "nothing". */
export const ZERO: Uint8Array = new Uint8Array(32);

/** Returns BLAKE3 of the bytes. */
export function hash(bytes: Uint8Array): Uint8Array {
  return blake3(bytes);
}

/** Returns the hash of a value (§2.2), which stands for it in proofs that leave it out. */
export function valueHash(value: Uint8Array): Uint8Array {
  return hash(value);
}

/** A keyed hash over the parts, joined. */
export type KeyedHash = (...parts: readonly Uint8Array[]) => Uint8Array;

export function derivedKey(context: string, material: Uint8Array): Uint8Array {
  return blake3(material, { context: bytesOf(context) });
}

export function keyed(key: Uint8Array): KeyedHash {
  return (...parts) => blake3(parts.length === 1 ? parts[0]! : concat(...parts), { key });
}

/** The names of the keyed hashes. */
export const NAMES = [
  "leaf",
  "inner",
  "bucket",
  "tree id",
  "submission",
  "epoch",
  "provisional root",
  "outcome leaf",
  "outcome node",
  "outcomes root",
  "commit id",
  "history leaf",
  "history node",
  "history root",
  "aggregate weight",
  "aggregate point",
  "audit point",
  "frame signature",
  "beginning signature",
] as const;

export type Name = (typeof NAMES)[number];

/** Returns the key of `H_name`. */
export function keyOf(name: Name): Uint8Array {
  return derivedKey(`trunkline v1 ${name}`, new Uint8Array(0));
}

/** Returns `H_name`. */
export function keyedHash(name: Name): KeyedHash {
  return keyed(keyOf(name));
}

export const hashLeaf: KeyedHash = keyedHash("leaf");
export const hashInner: KeyedHash = keyedHash("inner");
export const hashBucket: KeyedHash = keyedHash("bucket");
