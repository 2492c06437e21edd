// Protobuf with one encoding of each message (SPEC.md §9.1): a message is decoded by its schema, encoded again, and
// compared. So the reader below need not know which of two spellings is the right one.

import { isBytes } from "@noble/hashes/utils.js";
import { equal, joined } from "./bytes.js";
import { ArgumentError, MalformedError } from "./error.js";

const VARINT = 0;
const BYTES = 2;

type Content = bigint | Uint8Array;

/** One field of a message: its number, and how its value is read and written. */
export interface Field<T> {
  readonly number: number;
  readonly wireType: typeof VARINT | typeof BYTES;
  readonly repeated: boolean;
  /** The value of a field that is left out. */
  initial(): T;
  /** The value after one more occurrence. */
  read(previous: T, content: Content, counts: Counts): T;
  /** The contents written for a value, one for each occurrence. */
  write(value: T): readonly Content[];
}

/** The number of elements of each list so far, in the whole message that is decoded. */
type Counts = Map<object, number>;

export type Schema = Readonly<Record<string, Field<any>>>;

/** The message that a schema decodes to. */
export type Decoded<S extends Schema> = {
  readonly [Name in keyof S]: S[Name] extends Field<infer T> ? T : never;
};

/** A number below 2^32. Zero is left out. */
export function uint32(number: number): Field<number> {
  return {
    number,
    wireType: VARINT,
    repeated: false,
    initial: () => 0,
    read: (_, content) => {
      const value = content as bigint;
      if (value >= 1n << 32n) throw new MalformedError(`field ${number} does not fit into 32 bits`);
      return Number(value);
    },
    write: (value) => (value === 0 ? [] : [BigInt(value)]),
  };
}

/** A number below 2^64. Zero is left out. */
export function uint64(number: number): Field<bigint> {
  return {
    number,
    wireType: VARINT,
    repeated: false,
    initial: () => 0n,
    read: (_, content) => content as bigint,
    write: (value) => (value === 0n ? [] : [value]),
  };
}

const NONE = new Uint8Array(0);

/** Bytes. No bytes are left out. */
export function bytes(number: number): Field<Uint8Array> {
  return {
    number,
    wireType: BYTES,
    repeated: false,
    initial: () => NONE,
    read: (_, content) => content as Uint8Array,
    write: (value) => (value.length === 0 ? [] : [value]),
  };
}

/** Bytes that are one choice of several, and are written even if there are none. */
export function chosenBytes(number: number): Field<Uint8Array | undefined> {
  return {
    number,
    wireType: BYTES,
    repeated: false,
    initial: () => undefined,
    read: (_, content) => content as Uint8Array,
    write: (value) => (value === undefined ? [] : [value]),
  };
}

/** A message that is one choice of several, and is written even if it is empty. */
export function chosen<S extends Schema>(number: number, schema: S): Field<Decoded<S> | undefined> {
  return {
    number,
    wireType: BYTES,
    repeated: false,
    initial: () => undefined,
    read: (_, content, counts) => read(schema, content as Uint8Array, counts),
    write: (value) => (value === undefined ? [] : [encode(schema, value)]),
  };
}

/** A list of messages, at most `bound` in the whole message that is decoded. */
export function list<S extends Schema>(number: number, schema: S, bound: number): Field<Decoded<S>[]> {
  return {
    number,
    wireType: BYTES,
    repeated: true,
    initial: () => [],
    read: (previous, content, counts) => {
      const count = (counts.get(schema) ?? 0) + 1;
      if (count > bound) throw new MalformedError(`field ${number} occurs more than ${bound} times`);
      counts.set(schema, count);
      previous.push(read(schema, content as Uint8Array, counts));
      return previous;
    },
    write: (value) => value.map((element) => encode(schema, element)),
  };
}

/** Decodes a message in its one encoding. What is returned refers to a copy of the bytes. */
export function decode<S extends Schema>(schema: S, given: Uint8Array, bound: number): Decoded<S> {
  if (!isBytes(given)) throw new ArgumentError("what is decoded must be a Uint8Array");
  if (given.length > bound) throw new MalformedError(`it has ${given.length} bytes, and the bound is ${bound}`);
  const encoded = new Uint8Array(given);
  checkFormat(encoded);
  const message = read(schema, encoded, new Map());
  if (!equal(encode(schema, message), encoded)) {
    throw new MalformedError("it is not in the one encoding that its content has");
  }
  return message;
}

const FORMAT_TAG = 8;

/** Every message begins with its format: another format may have other fields. */
function checkFormat(encoded: Uint8Array): void {
  const reader = new Reader(encoded);
  const format = !reader.atEnd() && reader.varint() === BigInt(FORMAT_TAG) ? reader.varint() : 0n;
  if (format !== 2n) throw new MalformedError(`it is of format ${format}, and this verifier reads format 2 alone`);
}

// Fields out of order end the reading at once. Without that, 64 MiB could hold one field many millions of times.
function read<S extends Schema>(schema: S, encoded: Uint8Array, counts: Counts): Decoded<S> {
  const names = Object.keys(schema);
  const message: Record<string, unknown> = {};
  for (const name of names) message[name] = schema[name]!.initial();
  const reader = new Reader(encoded);
  let last = 0;
  while (!reader.atEnd()) {
    const tag = reader.varint();
    const name = names.find((each) => tag === tagOf(schema[each]!));
    if (name === undefined) throw new MalformedError(`the tag ${tag} is unknown here`);
    const field = schema[name]!;
    if (field.number < last || (field.number === last && !field.repeated)) {
      throw new MalformedError(`field ${field.number} is repeated or out of order`);
    }
    last = field.number;
    const content = field.wireType === VARINT ? reader.varint() : reader.bytes();
    message[name] = field.read(message[name], content, counts);
  }
  return message as Decoded<S>;
}

function tagOf(field: Field<unknown>): bigint {
  return BigInt((field.number << 3) | field.wireType);
}

class Reader {
  #at = 0;

  constructor(private readonly encoded: Uint8Array) {}

  atEnd(): boolean {
    return this.#at === this.encoded.length;
  }

  varint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.encoded[this.#at++];
      if (byte === undefined) throw new MalformedError("it ends within a number");
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) {
        if (value >= 1n << 64n) break;
        return value;
      }
    }
    throw new MalformedError("a number does not fit into 64 bits");
  }

  bytes(): Uint8Array {
    const length = this.varint();
    if (length > BigInt(this.encoded.length - this.#at)) throw new MalformedError("it ends within a field");
    const begin = this.#at;
    this.#at += Number(length);
    return this.encoded.subarray(begin, this.#at);
  }
}

/** Encodes a message in its one encoding. */
export function encode<S extends Schema>(schema: S, message: Decoded<S>): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const name of Object.keys(schema).sort((a, b) => schema[a]!.number - schema[b]!.number)) {
    const field = schema[name]!;
    for (const content of field.write(message[name])) {
      parts.push(varint(tagOf(field)));
      if (typeof content === "bigint") parts.push(varint(content));
      else parts.push(varint(BigInt(content.length)), content);
    }
  }
  return joined(parts);
}

function varint(value: bigint): Uint8Array {
  const encoded = [];
  let rest = value;
  for (; rest >= 0x80n; rest >>= 7n) encoded.push(Number(rest & 0x7fn) | 0x80);
  encoded.push(Number(rest));
  return Uint8Array.from(encoded);
}
