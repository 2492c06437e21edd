// Whatever the bytes are: a result, or an error of this package.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import {
  checkProof,
  decodeAncestorProof,
  decodeAuditProof,
  decodeBeginning,
  decodeConsistencyProof,
  decodeEvidence,
  decodeFrame,
  decodeOutcome,
  decodeProof,
  decodeRecord,
  encodeProof,
  fromHex,
  MalformedError,
  toHex,
} from "../src/index.js";
import { concat } from "../src/bytes.js";
import { Siblings } from "../src/proof/siblings.js";
import { bytes, decode, list, uint32 } from "../src/wire.js";
import { seeded } from "./prover.js";
import { answer, vectors } from "./vectors.js";

type Vector = { proof: string; rule?: string };

const proofs = vectors<Vector[]>("proofs.json");
const { ancestors, consistency } = vectors<Record<string, Vector[]>>("history.json");
const { frames, beginnings } = vectors<Record<string, Vector[]>>("frames.json");

const accepted = (all: Vector[]) => all.filter(({ rule }) => rule === undefined || rule === "accepted");

const FORMS: [string, Vector[], (encoded: Uint8Array) => unknown][] = [
  ["proof", proofs, decodeProof],
  ["ancestor proof", ancestors!, decodeAncestorProof],
  ["consistency proof", consistency!, decodeConsistencyProof],
  ["evidence", vectors<Vector[]>("evidence.json"), decodeEvidence],
  ["audit proof", vectors<Vector[]>("audits.json"), decodeAuditProof],
  ["frame", frames!, decodeFrame],
  ["beginning", beginnings!, decodeBeginning],
];

/** Makes one to three changes: a byte is replaced, inserted, or left out with those behind it. */
function changed(encoded: Uint8Array, random: (below: number) => number): Uint8Array {
  let now = [...encoded];
  for (let count = 1 + random(3); count > 0; count--) {
    const at = random(now.length + 1);
    const kind = random(8);
    if (kind < 5) now[at] = random(256);
    else if (kind === 5) now.splice(at, 0, random(256));
    else if (kind === 6) now.splice(at, random(40));
    else now = now.slice(0, at);
  }
  return Uint8Array.from(now);
}

for (const [name, all, decode] of FORMS) {
  test(`changed bytes of a form are decoded or malformed: ${name}`, () => {
    const random = seeded(name.length);
    const originals = accepted(all);
    let malformed = 0;
    for (let i = 0; i < 3000; i++) {
      const original = fromHex(originals[random(originals.length)]!.proof);
      const { rule } = answer(() => decode(changed(original, random)));
      if (rule === "malformed") malformed++;
      else assert.equal(rule, "accepted");
    }
    assert.ok(malformed > 300);
  });
}

test("a changed proof that still decodes encodes to its bytes, and is checked or refused", () => {
  const random = seeded(3);
  const small = proofs.filter(({ proof }) => proof.length < 1200);
  let decoded = 0;
  for (let i = 0; i < 4000; i++) {
    const bytes = changed(fromHex(small[random(small.length)]!.proof), random);
    const { shown } = answer(() => decodeProof(bytes));
    if (shown === undefined) continue;
    decoded++;
    assert.equal(toHex(encodeProof(shown)), toHex(bytes));
    if (shown.opening.length === 0) answer(() => checkProof(shown));
  }
  assert.ok(decoded > 300);
});

test("records and outcomes of every length are decoded or malformed", () => {
  for (let length = 0; length < 600; length++) {
    for (const fill of [0, 2, 255]) {
      answer(() => decodeRecord(new Uint8Array(length).fill(fill)));
      answer(() => decodeOutcome(new Uint8Array(length).fill(fill)));
    }
  }
});

test("a list is bounded over the whole message, before it is kept", () => {
  const ELEMENT = { key: bytes(1) };
  const PART = { elements: list(1, ELEMENT, 3) };
  const WHOLE = { format: uint32(1), parts: list(2, PART, 9) };
  const two = [0x12, 4, 0x0a, 0, 0x0a, 0];
  const one = [0x12, 2, 0x0a, 0];
  assert.equal(decode(WHOLE, Uint8Array.of(8, 2, ...two, ...one), 99).parts.length, 2);
  assert.throws(() => decode(WHOLE, Uint8Array.of(8, 2, ...two, ...two), 99), /more than 3/);
});

test("one field does not occur a million times", () => {
  const whole = (field: number[]) => {
    const version = Uint8Array.from({ length: 2_000_000 }, (_, i) => field[i % 2]!);
    return concat(Uint8Array.of(8, 2, 0x22, 0x80, 0x89, 0x7a), version);
  };
  assert.throws(() => decodeProof(whole([8, 1])), /out of order/);
  assert.throws(() => decodeProof(whole([0x1a, 0])), /more than 65536 times/);
});

test("values of 16 MiB are decoded, and longer ones are malformed", () => {
  const encoded = (length: number) =>
    encodeProof({
      params: { nonce: new Uint8Array(16), salt: null, collision: "bucket" },
      versions: [
        {
          version: 1n,
          record: null,
          entries: [{ key: new Uint8Array(4096), claim: { kind: "value", value: new Uint8Array(length) } }],
          terminals: [{ depth: 7, place: { kind: "own_leaf" } }],
          siblings: Siblings.from([]),
          top: { kind: "hash", siblings: Siblings.from(Array.from({ length: 7 }, () => new Uint8Array(32))) },
        },
      ],
      opening: new Uint8Array(0),
    });
  const bound = 16 * 1024 * 1024;
  assert.equal(decodeProof(encoded(bound)).versions.length, 1);
  assert.throws(() => decodeProof(encoded(bound + 1)), /at most 16777216 bytes/);
});

test("a length is refused before anything is read", () => {
  const bounds: [number, (encoded: Uint8Array) => unknown][] = [
    [64 * 1024 * 1024, decodeProof],
    [16_384, decodeAncestorProof],
    [16_384, decodeConsistencyProof],
    [33_562_624, decodeEvidence],
    [8_192, decodeAuditProof],
    [256, decodeBeginning],
  ];
  for (const [bound, decode] of bounds) {
    assert.throws(
      () => decode(new Uint8Array(bound + 1)),
      (error) => error instanceof MalformedError && /bound/.test(error.message),
    );
    assert.throws(() => decode(new Uint8Array(bound)), /format 0/);
  }
});
