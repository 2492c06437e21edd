// Public keys and signatures of primaries (SPEC.md §24.1): Ed25519, checked strictly and without the cofactor.

import { ed25519 } from "@noble/curves/ed25519.js";
import { sha512 } from "@noble/hashes/sha2.js";
import { bytesToHex, hexToBytes, isBytes } from "@noble/hashes/utils.js";
import { concat, equal } from "./bytes.js";
import { KeyError } from "./error.js";

const { Point } = ed25519;
type EdwardsPoint = InstanceType<typeof Point>;

/** A public key that a client pins. */
export class PublicKey {
  readonly #point: EdwardsPoint;

  private constructor(
    readonly bytes: Uint8Array,
    point: EdwardsPoint,
  ) {
    this.#point = point;
  }

  /** Reads a key: 32 bytes, or 64 hexadecimal digits. Throws a `KeyError` for what no signer generates. */
  static of(key: string | Uint8Array): PublicKey {
    const bytes = keyBytes(key);
    const point = pointOf(bytes);
    if (!equal(point.toBytes(), bytes)) throw new KeyError("NotCanonical");
    if (point.isSmallOrder() || !point.isTorsionFree()) throw new KeyError("Order");
    return new PublicKey(bytes, point);
  }

  /** Returns the key as it is written: 64 hexadecimal digits. */
  toString(): string {
    return bytesToHex(this.bytes);
  }

  /** Returns whether the owner of this key made a signature. */
  hasSigned(message: Uint8Array, signature: Uint8Array): boolean {
    const { Fn } = Point;
    const r = signature.subarray(0, 32);
    const s = littleEndian(signature.subarray(32));
    if (s >= Fn.ORDER) return false;
    const k = Fn.create(littleEndian(sha512(concat(r, this.bytes, message))));
    const shown = Point.BASE.multiplyUnsafe(s).subtract(this.#point.multiplyUnsafe(k));
    return equal(shown.toBytes(), r) && !shown.isSmallOrder();
  }
}

function keyBytes(key: string | Uint8Array): Uint8Array {
  const isText = typeof key === "string" && /^[0-9a-fA-F]{64}$/.test(key);
  if (!isText && !(isBytes(key) && key.length === 32)) throw new KeyError("Text");
  return typeof key === "string" ? hexToBytes(key) : new Uint8Array(key);
}

// Other encodings of a point are read here, and told apart by the one that it has.
function pointOf(bytes: Uint8Array): EdwardsPoint {
  try {
    return Point.fromBytes(bytes, true);
  } catch {
    throw new KeyError("Point");
  }
}

function littleEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x${bytesToHex(Uint8Array.from(bytes).reverse())}`);
}
