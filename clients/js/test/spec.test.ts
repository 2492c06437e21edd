// SPEC.md itself: its table of keys, its examples, and the fields of its messages.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import {
  checkProof,
  commitId,
  decodeAncestorProof,
  decodeAuditProof,
  decodeBeginning,
  decodeConsistencyProof,
  decodeEvidence,
  decodeFrame,
  decodeProof,
  fromHex,
  PublicKey,
  toHex,
  treeId,
  verifyAncestor,
  verifyAudit,
  verifyBeginningSignature,
  verifyConsistency,
  verifyEvidence,
  verifyFrameSignature,
  verifyProof,
  type TreeParams,
  type Trusted,
} from "../src/index.js";
import { auditPoint, AUDIT_PROOF } from "../src/audit.js";
import { bytesOf, scalarOf } from "../src/bytes.js";
import { EVIDENCE } from "../src/evidence.js";
import { BEGINNING, FRAME } from "../src/frame.js";
import { keyOf, NAMES } from "../src/hash.js";
import { ANCESTOR_PROOF, CONSISTENCY_PROOF } from "../src/history.js";
import { aggregatePoint, aggregateSeed, OMEGA } from "../src/kzg.js";
import { ENTRY, HASH_TOP, PROOF, TERMINAL, VERSION_PROOF } from "../src/proof/proof.js";
import { slotsOf } from "../src/proof/slots.js";
import { SETUP_ID, TAU_G2 } from "../src/setup.js";
import type { Schema } from "../src/wire.js";
import { text } from "./vectors.js";

const SPEC = text("SPEC.md");

/** Returns the rows of two columns, the second of which is hexadecimal, of a section. */
function rows(section: string): Map<string, string> {
  const begin = SPEC.indexOf(`\n${section} `);
  const end = SPEC.indexOf("\n#", begin + 1);
  const found = SPEC.slice(begin, end).matchAll(/^\| (.+?) \| `([0-9a-f]+)` \|$/gm);
  return new Map([...found].map(([, name, value]) => [name!.replaceAll("`", ""), value!]));
}

test("every name has the key of the table", () => {
  const table = rows("## 1.");
  assert.ok(table.size >= NAMES.length);
  for (const name of NAMES) assert.equal(toHex(keyOf(name)), table.get(name), name);
});

const params: TreeParams = { nonce: bytesOf("trunkline vector"), salt: null, collision: "bucket" };

test("the setup is that of the specification", () => {
  const [point] = SPEC.match(/^b5bfd7dd[0-9a-f]+\n[0-9a-f]+\n[0-9a-f]+$/m)!;
  assert.equal(toHex(TAU_G2), point.replaceAll("\n", ""));
  assert.equal(toHex(SETUP_ID), rows("## 11.").get("setup id"));
});

test("the examples of proofs hold", () => {
  const example = rows("## 11.");
  const bytes = (name: string) => fromHex(example.get(name)!);
  assert.equal(OMEGA.toString(16).padStart(64, "0"), example.get("ω"));
  const id = treeId(params);
  assert.equal(toHex(id), example.get("tree id"));
  const byHash = decodeProof(bytes("proof with a hash top"));
  const byKzg = decodeProof(bytes("proof with a KZG top"));
  const state: Trusted = { kind: "state_digest", treeId: id, stateDigest: bytes("state digest") };
  const root: Trusted = { kind: "kzg_root", treeId: id, kzgRoot: bytes("KZG root") };
  for (const proven of [verifyProof(byHash, state), verifyProof(byKzg, root)]) {
    assert.deepEqual(proven.claim("a"), { kind: "value", value: bytesOf("1") });
    assert.deepEqual(proven.claim("d"), { kind: "absent" });
  }
  const [version] = byKzg.versions;
  const slots = slotsOf(version!, params).map(({ slot, digest }) => ({ slot, value: scalarOf(digest) }));
  const seed = aggregateSeed([{ version: 1n, kzgRoot: bytes("KZG root"), slots }]);
  assert.equal(toHex(seed), example.get("seed of the aggregate"));
  const z = aggregatePoint(seed, byKzg.opening.subarray(0, 48));
  assert.equal(z.toString(16).padStart(64, "0"), example.get("z of the aggregate"));
  assert.equal(checkProof(byKzg).length, 1);
});

test("the examples of proofs over the history hold", () => {
  const example = rows("### 14.5");
  const bytes = (name: string) => fromHex(example.get(name)!);
  const head = bytes("commit id of version 3");
  const ancestor = verifyAncestor(decodeAncestorProof(bytes("ancestor proof")), head);
  assert.equal(toHex(ancestor.commitId), example.get("commit id of version 1"));
  assert.equal(ancestor.version, 1n);
  const proof = decodeConsistencyProof(bytes("consistency proof"));
  const shown = verifyConsistency(proof, { olderCommitId: bytes("commit id of version 1"), headCommitId: head });
  assert.deepEqual([shown.olderVersion, shown.headVersion], [1n, 3n]);
  assert.equal(toHex(proof.head.historyDigest), example.get("history digest of version 3"));
  assert.equal(toHex(proof.head.parent), example.get("commit id of version 2"));
});

test("the example of evidence holds", () => {
  const example = rows("### 15.3");
  const bytes = (name: string) => fromHex(example.get(name)!);
  const evidence = decodeEvidence(bytes("evidence"));
  assert.equal(toHex(commitId(evidence.record)), example.get("commit id of version 7"));
  assert.equal(toHex(evidence.record.provisionalRoot), example.get("provisional root of version 7"));
  const shown = verifyEvidence(evidence, {
    provisionalRoot: bytes("provisional root of submission 101"),
    commitId: bytes("commit id of version 7"),
  });
  assert.equal(shown.sequence, 101n);
  assert.deepEqual(shown.outcome, { kind: "requirement_failed", keyHash: new Uint8Array(32).fill(1) });
});

test("the example of an audit proof holds", () => {
  const example = rows("### 16.4");
  const proof = decodeAuditProof(fromHex(example.get("audit proof")!));
  const z = auditPoint(treeId(params), proof.kzgRoot, proof.slots);
  assert.equal(z.toString(16).padStart(64, "0"), example.get("z"));
  assert.equal(toHex(proof.opening), example.get("opening"));
  const stateDigest = fromHex(rows("## 11.").get("state digest")!);
  const shown = verifyAudit(proof, { kind: "state_digest", treeId: treeId(params), stateDigest });
  assert.equal(toHex(shown.kzgRoot), rows("## 11.").get("KZG root"));
});

test("the examples of frames and beginnings hold", () => {
  const example = rows("### 24.4");
  const keys = [PublicKey.of(example.get("public key")!)];
  const { commitId, frame } = verifyFrameSignature(decodeFrame(fromHex(example.get("frame")!)), keys);
  assert.equal(toHex(commitId), example.get("commit id"));
  assert.equal(frame.outcomes.length, 8);
  const beginning = decodeBeginning(fromHex(example.get("beginning")!));
  assert.equal(toHex(verifyBeginningSignature(beginning, keys).treeId), example.get("tree id of the beginning"));
});

/** Returns the fields of a message of a .proto file, with their numbers. */
function fieldsOf(file: string, message: string): Record<string, number> {
  const [, body] = new RegExp(`^message ${message} \\{\\n([^]*?)\\n\\}`, "m").exec(text(file))!;
  const fields = body!.matchAll(/^ +(?:repeated )?[\w.]+ (\w+) = (\d+);/gm);
  return Object.fromEntries([...fields].map(([, name, number]) => [name!, Number(number)]));
}

test("the messages have the fields of the .proto files", () => {
  const messages: [string, string, Schema][] = [
    ["proof/v1/proof", "Proof", PROOF],
    ["proof/v1/proof", "VersionProof", VERSION_PROOF],
    ["proof/v1/proof", "Entry", ENTRY],
    ["proof/v1/proof", "Terminal", TERMINAL],
    ["proof/v1/proof", "HashTop", HASH_TOP],
    ["proof/v1/history", "AncestorProof", ANCESTOR_PROOF],
    ["proof/v1/history", "ConsistencyProof", CONSISTENCY_PROOF],
    ["proof/v1/evidence", "Evidence", EVIDENCE],
    ["proof/v1/audit", "AuditProof", AUDIT_PROOF],
    ["frame/v1/frame", "Frame", FRAME],
    ["frame/v1/frame", "Beginning", BEGINNING],
  ];
  for (const [file, message, schema] of messages) {
    const written = Object.fromEntries(Object.entries(schema).map(([name, { number }]) => [name, number]));
    assert.deepEqual(written, fieldsOf(`core/proto/trunkline/${file}.proto`, message), message);
  }
});
