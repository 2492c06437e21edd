import { strict as assert } from "node:assert";
import { test } from "node:test";
import {
  decodeProof,
  encodeProof,
  fromHex,
  moveProof,
  RefusedError,
  toHex,
  verifyProof,
  type Proof,
  type TreeParams,
} from "../src/index.js";
import { seeded, Tree, type State } from "./prover.js";
import { vectors } from "./vectors.js";

const params: TreeParams = { nonce: new Uint8Array(16).fill(9), salt: new Uint8Array(32).fill(4), collision: "bucket" };

const bytes = (proof: Proof) => toHex(encodeProof(proof));

/** Returns whether a proof holds in the state of a tree. */
function holds(proof: Proof, { treeId, stateDigest }: Tree): boolean {
  try {
    return verifyProof(proof, { kind: "state_digest", treeId, stateDigest }).entries.length > 0;
  } catch (error) {
    if (error instanceof RefusedError) return false;
    throw error;
  }
}

interface Round {
  readonly before: Tree;
  readonly after: Tree;
  readonly written: string[];
  readonly asked: string[];
}

/** Two states of one tree, the keys that were written in between, and keys to prove. */
function round(random: (below: number) => number): Round {
  const size = 1 + random(random(4) === 0 ? 600 : 12);
  const key = () => `key ${random(2 * size)}`;
  const some = (count: number) => [...new Set(Array.from({ length: 1 + random(count) }, key))];
  const first = new Map(some(size).map((each) => [each, `old ${random(9)}`]));
  const second = new Map(first);
  const written = some(8);
  for (const each of written) {
    if (random(3) === 0) second.delete(each);
    else second.set(each, `new ${random(9)}`);
  }
  const tree = (version: bigint, state: State) => new Tree(params, version, state);
  return { before: tree(3n, first), after: tree(8n, second), written, asked: some(10) };
}

test("what a naive prover proves holds, and in no other state", () => {
  const random = seeded(1);
  for (let i = 0; i < 60; i++) {
    const { before, after, asked } = round(random);
    assert.ok(holds(before.prove(asked), before));
    assert.equal(holds(before.prove(asked), after), toHex(before.stateDigest) === toHex(after.stateDigest));
  }
});

test("a moved proof is the proof that is made at the later version", () => {
  const random = seeded(2);
  for (let i = 0; i < 120; i++) {
    const { before, after, written, asked } = round(random);
    const moved = moveProof(before.prove(asked), after.prove(written));
    assert.ok(holds(moved, after));
    assert.equal(bytes(moved), bytes(after.prove(asked)), `round ${i}`);
  }
});

test("a value stays where the change claims its hash", () => {
  const state = new Map([
    ["a", "1"],
    ["b", "2"],
  ]);
  const [before, after] = [new Tree(params, 1n, state), new Tree(params, 2n, state)];
  const moved = moveProof(before.prove(["a"]), after.prove(["a", "b"], "value_hash"));
  assert.equal(bytes(moved), bytes(after.prove(["a"])));
});

test("a change that leaves out a written key leads to another root", () => {
  const before = new Tree(
    params,
    1n,
    new Map([
      ["a", "1"],
      ["b", "2"],
    ]),
  );
  const after = new Tree(
    params,
    2n,
    new Map([
      ["a", "3"],
      ["b", "4"],
    ]),
  );
  const moved = moveProof(before.prove(["a"]), after.prove(["b"]));
  assert.ok(!holds(moved, after));
});

test("proofs that do not belong together are not combined", () => {
  const state = new Map([["a", "1"]]);
  const tree = (version: bigint, own = params) => new Tree(own, version, state).prove(["a"]);
  const refused = (rule: string) => (error: unknown) => error instanceof RefusedError && error.code === rule;
  assert.throws(() => moveProof(tree(2n), tree(2n)), refused("NotLater"));
  assert.throws(() => moveProof(tree(2n), tree(3n, { ...params, collision: "reject" })), refused("OtherTree"));
  assert.throws(() => moveProof(tree(1n), { ...tree(2n) }), /decodeProof/);
  const other = vectors<{ name: string; proof: string }[]>("proofs.json");
  for (const name of ["two versions with hash tops", "one slot, a key present"]) {
    const proof = decodeProof(fromHex(other.find((each) => each.name === name)!.proof));
    const later = new Tree(proof.params, 99n, state).prove(["a"]);
    assert.throws(() => moveProof(proof, later), refused("OneVersion"));
  }
});
