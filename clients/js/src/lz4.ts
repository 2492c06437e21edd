// Blocks of LZ4 (SPEC.md §24.2), decompressed to a length that is known.

import { MalformedError } from "./error.js";

/** The most bytes that one byte of a block stands for. */
const RATIO_MAX = 255;

const MATCH_BYTES_MIN = 4;

/** Decompresses a block that must give this many bytes. */
export function decompress(block: Uint8Array, length: number): Uint8Array {
  if ((block.length === 0) !== (length === 0) || length > RATIO_MAX * block.length) {
    throw new MalformedError(`${block.length} compressed bytes cannot stand for ${length}`);
  }
  const content = new Uint8Array(length);
  if (length > 0 && new Block(block, content).decompress() !== length) throw damaged();
  return content;
}

function damaged(): MalformedError {
  return new MalformedError("what is compressed is no block of LZ4 of the length that it should have");
}

class Block {
  #at = 0;
  #written = 0;

  constructor(
    private readonly block: Uint8Array,
    private readonly content: Uint8Array,
  ) {}

  /** Returns how many bytes the block gives. It ends behind the literals of a sequence. */
  decompress(): number {
    for (;;) {
      const token = this.#byte();
      this.#literals(this.#length(token >> 4));
      if (this.#at === this.block.length) return this.#written;
      const offset = this.#byte() | (this.#byte() << 8);
      this.#match(offset, MATCH_BYTES_MIN + this.#length(token & 15));
    }
  }

  #byte(): number {
    const byte = this.block[this.#at++];
    if (byte === undefined) throw damaged();
    return byte;
  }

  #length(nibble: number): number {
    let length = nibble;
    if (nibble < 15) return length;
    for (let byte = 255; byte === 255; length += byte) byte = this.#byte();
    return length;
  }

  #literals(length: number): void {
    const end = this.#at + length;
    if (end > this.block.length || this.#written + length > this.content.length) throw damaged();
    this.content.set(this.block.subarray(this.#at, end), this.#written);
    this.#at = end;
    this.#written += length;
  }

  // What is copied may overlap what is written: a match of one byte repeats it.
  #match(offset: number, length: number): void {
    const end = this.#written + length;
    if (offset === 0 || offset > this.#written || end > this.content.length) throw damaged();
    for (; this.#written < end; this.#written++) this.content[this.#written] = this.content[this.#written - offset]!;
  }
}
