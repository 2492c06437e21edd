// Small helpers over byte strings.

/** Returns whether two byte strings are the same. */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return compare(a, b) === 0;
}

/** Compares byte strings as numbers of the same base would be: byte by byte, then by length. */
export function compare(a: Uint8Array, b: Uint8Array): number {
  const common = Math.min(a.length, b.length);
  for (let i = 0; i < common; i++) {
    const difference = a[i]! - b[i]!;
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** Returns whether all bytes are zero. */
export function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}

/** Joins byte strings. Takes a list, since some are too long for arguments. */
export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Joins byte strings. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return joined(parts);
}

/** Cuts bytes into pieces of one size. The caller has checked that the length is a multiple of it. */
export function pieces(bytes: Uint8Array, size: number): Uint8Array[] {
  const cut = [];
  for (let at = 0; at < bytes.length; at += size) cut.push(bytes.subarray(at, at + size));
  return cut;
}

export function u8(value: number): Uint8Array {
  return Uint8Array.of(value);
}

/** An integer of 16 bits, little-endian. */
export function u16(value: number): Uint8Array {
  return Uint8Array.of(value & 0xff, value >> 8);
}

/** An integer of 64 bits, little-endian. */
export function u64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  view(bytes).setBigUint64(0, value, true);
  return bytes;
}

export function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Returns bit `index` of a byte string, counted from the most significant bit of its first byte. */
export function bit(bytes: Uint8Array, index: number): number {
  return (bytes[index >> 3]! >> (7 - (index & 7))) & 1;
}

/** Returns whether two byte strings have the same first `count` bits. */
export function sameBits(a: Uint8Array, b: Uint8Array, count: number): boolean {
  const whole = count >> 3;
  for (let i = 0; i < whole; i++) if (a[i] !== b[i]) return false;
  const rest = count & 7;
  return rest === 0 || (a[whole]! ^ b[whole]!) >> (8 - rest) === 0;
}

/** Reads a digest as a big-endian integer with its two most significant bits cleared. */
export function scalarOf(digest: Uint8Array): bigint {
  let scalar = BigInt(digest[0]! & 0x3f);
  for (let i = 1; i < digest.length; i++) scalar = (scalar << 8n) | BigInt(digest[i]!);
  return scalar;
}

/** Counts the bits that are set. */
export function setBits(value: bigint): number {
  let count = 0;
  for (let rest = value; rest > 0n; rest >>= 1n) count += Number(rest & 1n);
  return count;
}

const UTF8 = new TextEncoder();

/** Returns the bytes of a key or value that a caller gave as text. */
export function bytesOf(text: string | Uint8Array): Uint8Array {
  return typeof text === "string" ? UTF8.encode(text) : text;
}
