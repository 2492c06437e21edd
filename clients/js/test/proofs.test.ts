import { strict as assert } from "node:assert";
import { test } from "node:test";
import {
  ArgumentError,
  checkProof,
  decodeProof,
  encodeProof,
  fromHex,
  MalformedError,
  Proven,
  RefusedError,
  toHex,
  verifyAll,
  verifyProof,
  verifyVersions,
  type Claim,
  type Trusted,
} from "../src/index.js";
import { verifyEach } from "../src/proof/verify.js";
import { answer, trustedOf, vectors, type TrustedVector } from "./vectors.js";

type ClaimVector = "absent" | { value: string } | { value_hash: string };

interface ProofVector {
  name: string;
  proof: string;
  trusted: TrustedVector[];
  claims: { state: string; version: string; entries: { key: string; claim: ClaimVector }[] }[];
}

interface RefusedVector {
  name: string;
  rule: string;
  why: string;
  proof: string;
  trusted: TrustedVector[];
}

const proofs = vectors<ProofVector[]>("proofs.json");
const refused = vectors<RefusedVector[]>("refused.json");

function claimVector(claim: Claim): ClaimVector {
  switch (claim.kind) {
    case "absent":
      return "absent";
    case "value":
      return { value: toHex(claim.value) };
    case "value_hash":
      return { value_hash: toHex(claim.valueHash) };
  }
}

test("every proof is accepted with its claims", () => {
  assert.ok(proofs.length >= 44);
  for (const vector of proofs) {
    const shown = verifyEach(decodeProof(fromHex(vector.proof)), vector.trusted.map(trustedOf));
    assert.equal(shown.length, vector.claims.length, vector.name);
    shown.forEach((version, i) => {
      const { entries, version: expected } = vector.claims[i]!;
      const shownEntries = version.boundTo === "nothing" ? version.claimedEntries : version.entries;
      const written = shownEntries.map(({ key, claim }) => ({ key: toHex(key), claim: claimVector(claim) }));
      assert.deepEqual(written, entries, vector.name);
      assert.equal(version.boundTo, vector.trusted[i]!.kind, vector.name);
      if (version.boundTo === "nothing") return;
      const bindsVersion = ["root", "commit_id"].includes(version.boundTo);
      assert.equal(version.version, bindsVersion ? BigInt(expected) : null, vector.name);
      for (const { key, claim } of entries) assert.deepEqual(claimVector(version.claim(fromHex(key))!), claim);
    });
  }
});

test("every forgery is refused by its rule", () => {
  assert.ok(refused.length >= 155);
  for (const vector of refused) {
    const { rule } = answer(() => verifyEach(decodeProof(fromHex(vector.proof)), vector.trusted.map(trustedOf)));
    assert.equal(rule, vector.rule, `${vector.name}: ${vector.why}`);
  }
});

test("all proofs hold together, and none if one does not", () => {
  const held = proofs
    .filter(({ trusted }) => trusted.every(({ kind }) => kind !== "nothing"))
    .map(({ proof, trusted }) => ({
      proof: decodeProof(fromHex(proof)),
      trusted: trusted.map(trustedOf) as Trusted[],
    }));
  const together = verifyAll(held);
  const alone = held.map(({ proof, trusted }) => verifyVersions(proof, trusted));
  assert.deepEqual(together, alone);
  const forged = refused.filter(
    ({ rule, trusted }) => rule === "Opening" && trusted.every(({ kind }) => kind !== "nothing"),
  );
  assert.ok(forged.length > 5);
  for (const { proof, trusted, why } of forged) {
    const one = { proof: decodeProof(fromHex(proof)), trusted: trusted.map(trustedOf) as Trusted[] };
    assert.equal(answer(() => verifyAll([held[0]!, one, held.at(-1)!])).rule, "Opening", why);
  }
  assert.deepEqual(verifyAll([]), []);
});

test("a decoded proof encodes to the same bytes", () => {
  for (const { proof } of [...proofs, ...refused.filter(({ rule }) => rule !== "malformed")]) {
    assert.equal(toHex(encodeProof(decodeProof(fromHex(proof)))), proof);
  }
});

test("no prefix of a proof is a proof, and no byte behind it is taken", () => {
  for (const { proof } of proofs.slice(0, 12)) {
    const bytes = fromHex(proof);
    for (let length = 0; length < bytes.length; length++) {
      assert.throws(() => decodeProof(bytes.subarray(0, length)), MalformedError);
    }
    for (const behind of [0, 8, 0x32]) {
      assert.throws(() => decodeProof(Uint8Array.of(...bytes, behind)), MalformedError);
    }
  }
});

// Whoever changes one bit of a proof gets a refusal with a name, and never another error or other claims.
test("a proof with one changed bit is refused, or shows the same", () => {
  const vector = proofs.find(({ trusted }) => trusted.length === 1 && trusted[0]!.kind === "commit_id")!;
  const bytes = fromHex(vector.proof);
  const verify = (changed: Uint8Array) => verifyProof(decodeProof(changed), trustedOf(vector.trusted[0]!) as Trusted);
  const original = verify(bytes);
  for (let i = 0; i < 8 * bytes.length; i++) {
    const changed = new Uint8Array(bytes);
    changed[i >> 3]! ^= 1 << (i & 7);
    const { shown } = answer(() => verify(changed));
    if (shown !== undefined) assert.deepEqual(shown.entries, original.entries, `bit ${i}`);
  }
});

test("a key of which the proof says nothing is unknown", () => {
  const vector = proofs.find(({ name }) => name === "one key, present")!;
  const proven = verifyProof(decodeProof(fromHex(vector.proof)), trustedOf(vector.trusted[0]!) as Trusted);
  assert.deepEqual(proven.claim("a"), { kind: "value", value: Uint8Array.of(0x31) });
  assert.equal(proven.claim("another"), undefined);
});

test("without anything trusted there is a result of its own, and none that is proven", () => {
  const vector = proofs.find(({ name }) => name === "one key, present")!;
  const proof = decodeProof(fromHex(vector.proof));
  const [unproven] = checkProof(proof);
  assert.equal(unproven!.boundTo, "nothing");
  assert.ok(!(unproven instanceof Proven));
  for (const nothing of [{ kind: "nothing" }, undefined, {}, null]) {
    assert.throws(() => verifyProof(proof, nothing as unknown as Trusted), ArgumentError);
    assert.throws(() => verifyVersions(proof, [nothing as unknown as Trusted]), ArgumentError);
  }
});

test("arguments that are none are refused by name", () => {
  const proof = decodeProof(fromHex(proofs[0]!.proof));
  const good = new Uint8Array(32);
  const root = { kind: "root", treeId: good, version: 5n, commitId: good, stateDigest: good, kzgRoot: null };
  for (const wrong of [undefined, "00".repeat(32), new Uint8Array(31), [], new Uint8Array(33)]) {
    const trusted = [
      { kind: "commit_id", commitId: wrong },
      { kind: "state_digest", treeId: wrong, stateDigest: good },
      { kind: "state_digest", treeId: good, stateDigest: wrong },
      { kind: "kzg_root", treeId: wrong, kzgRoot: new Uint8Array(48) },
      { kind: "kzg_root", treeId: good, kzgRoot: wrong },
      ...["treeId", "version", "commitId", "stateDigest", "kzgRoot"].map((name) => ({ ...root, [name]: wrong })),
    ];
    for (const each of trusted) {
      assert.throws(() => verifyProof(proof, each as Trusted), ArgumentError);
      assert.throws(() => verifyAll([{ proof, trusted: [each as Trusted] }]), ArgumentError);
    }
    assert.throws(() => decodeProof(wrong as Uint8Array), wrong instanceof Uint8Array ? MalformedError : ArgumentError);
  }
  assert.throws(() => verifyProof({ ...proof }, root as Trusted), /decodeProof/);
  assert.throws(() => verifyVersions(proof, root as unknown as Trusted[]), ArgumentError);
});

test("changing the bytes after decoding changes nothing", () => {
  const vector = proofs[0]!;
  const bytes = Buffer.from(vector.proof, "hex");
  const proof = decodeProof(bytes);
  bytes.fill(0);
  assert.equal(toHex(encodeProof(proof)), vector.proof);
  verifyProof(proof, trustedOf(vector.trusted[0]!) as Trusted);
});

test("an error has a code and says what to do", () => {
  const vector = refused.find(({ rule }) => rule === "NeedsRecord")!;
  const proof = decodeProof(fromHex(vector.proof));
  assert.throws(
    () => verifyEach(proof, vector.trusted.map(trustedOf)),
    (error: unknown) => error instanceof RefusedError && error.code === "NeedsRecord" && /ask for/.test(error.message),
  );
});
