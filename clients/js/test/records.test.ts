import { strict as assert } from "node:assert";
import { test } from "node:test";
import {
  commitId,
  decodeRecord,
  encodeRecord,
  fromHex,
  provisionalRoot,
  provisionalStart,
  submissionDigest,
  toHex,
  treeId,
  type CollisionPolicy,
  type TreeParams,
} from "../src/index.js";
import { compare } from "../src/bytes.js";
import { hash, hashLeaf } from "../src/hash.js";
import { keyHasher, slotOf } from "../src/params.js";
import { digestOfAll, HISTORY, OUTCOMES } from "../src/range.js";
import { digest } from "./prover.js";
import { hex, vectors } from "./vectors.js";

interface Records {
  records: (Record<string, string> & { name: string })[];
  histories: { items: string[]; digest: string }[];
  outcomes: { items: string[]; digest: string }[];
  provisional: {
    last_durable_commit_id: string;
    open_epoch: string;
    start: string;
    submissions: {
      writes: { key: string; value: string | null }[];
      requirements: { key: string; value_hash: string | null }[];
      metadata: string;
      submission_digest: string;
      provisional_root: string;
    }[];
  };
}

const { records, histories, outcomes, provisional } = vectors<Records>("records.json");

test("every record has its fields, its bytes and its commit id", () => {
  for (const vector of records) {
    const record = decodeRecord(fromHex(vector["bytes"]!));
    for (const [name, value] of Object.entries(record)) {
      const field = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      assert.equal(typeof value === "bigint" ? String(value) : toHex(value), vector[field], `${vector.name}: ${field}`);
    }
    assert.equal(toHex(encodeRecord(record)), vector["bytes"], vector.name);
    assert.equal(toHex(commitId(record)), vector["commit_id"], vector.name);
  }
});

test("every range has its digest", () => {
  for (const { items, digest } of histories) assert.equal(toHex(digestOfAll(HISTORY, items.map(fromHex))), digest);
  for (const { items, digest } of outcomes) assert.equal(toHex(digestOfAll(OUTCOMES, items.map(fromHex))), digest);
});

test("every submission has its digest and its provisional root", () => {
  const params: TreeParams = { nonce: new Uint8Array(16), salt: null, collision: "bucket" };
  let root = provisionalStart(fromHex(provisional.last_durable_commit_id), BigInt(provisional.open_epoch));
  assert.equal(toHex(root), provisional.start);
  for (const vector of provisional.submissions) {
    const bytes = (text: string | null) => (text === null ? null : fromHex(text));
    const submission = submissionDigest(params, {
      writes: vector.writes.map(({ key, value }) => ({ key: fromHex(key), value: bytes(value) })),
      requirements: vector.requirements.map((each) => ({ key: fromHex(each.key), valueHash: bytes(each.value_hash) })),
      metadata: fromHex(vector.metadata),
    });
    assert.equal(toHex(submission), vector.submission_digest);
    root = provisionalRoot(root, submission);
    assert.equal(toHex(root), vector.provisional_root);
  }
});

interface StateVector {
  name: string;
  nonce: string;
  salt: string | null;
  policy: number;
  tree_id: string;
  leaves: { key: string | null; value: string | null; key_hash: string; value_hash: string; leaf_digest: string }[];
  slots: { slot: number; digest: string }[];
  state_digest: string;
}

const states = vectors<StateVector[]>("states.json");
const POLICIES: CollisionPolicy[] = ["bucket", "overwrite", "reject"];

test("every tree has its id, and every leaf its hashes", () => {
  for (const state of states) {
    const salt = state.salt === null ? null : fromHex(state.salt);
    const params = { nonce: fromHex(state.nonce), salt, collision: POLICIES[state.policy]! };
    assert.equal(hex(treeId(params)), state.tree_id, state.name);
    const keyHash = keyHasher(params);
    for (const leaf of state.leaves) {
      assert.equal(toHex(hashLeaf(fromHex(leaf.key_hash), fromHex(leaf.value_hash))), leaf.leaf_digest);
      if (leaf.key === null || leaf.value === null) continue;
      assert.equal(toHex(keyHash(fromHex(leaf.key))), leaf.key_hash, state.name);
      assert.equal(toHex(hash(fromHex(leaf.value))), leaf.value_hash, state.name);
    }
  }
});

test("every state has its slots and its digest", () => {
  for (const state of states) {
    const leaves = state.leaves.map((leaf) => ({
      keyHash: fromHex(leaf.key_hash),
      valueHash: fromHex(leaf.value_hash),
    }));
    leaves.sort((a, b) => compare(a.keyHash, b.keyHash));
    const slots = Array.from({ length: 128 }, (_, slot) =>
      digest(
        7,
        leaves.filter((l) => slotOf(l.keyHash) === slot),
      ),
    );
    const shown = slots.map((each, slot) => ({ slot, digest: toHex(each) }));
    assert.deepEqual(
      shown.filter((each) => !/^0*$/.test(each.digest)),
      state.slots,
      state.name,
    );
    assert.equal(toHex(digest(0, leaves)), state.state_digest, state.name);
  }
});
