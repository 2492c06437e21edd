import { strict as assert } from "node:assert";
import { test } from "node:test";
import {
  ArgumentError,
  decodeAncestorProof,
  decodeConsistencyProof,
  decodeEvidence,
  encodeOutcome,
  fromHex,
  MalformedError,
  toHex,
  verifyAncestor,
  verifyConsistency,
  verifyEvidence,
} from "../src/index.js";
import { check, vectors, type Answered } from "./vectors.js";

interface History {
  ancestors: Answered<{ head: string }>[];
  consistency: Answered<{ older: string; head: string; older_record: string | null }>[];
}

const history = vectors<History>("history.json");
const evidence = vectors<Answered<{ provisional_root: string; commit_id: string }>[]>("evidence.json");

test("every ancestor proof gets its answer", () => {
  const accepted = check(history.ancestors, (proof, { head }) => {
    const shown = verifyAncestor(decodeAncestorProof(proof), fromHex(head));
    return {
      tree_id: toHex(shown.treeId),
      version: String(shown.version),
      commit_id: toHex(shown.commitId),
      head_version: String(shown.headVersion),
    };
  });
  assert.ok(accepted > 10);
});

test("every consistency proof gets its answer", () => {
  const accepted = check(history.consistency, (proof, trusted) => {
    const shown = verifyConsistency(decodeConsistencyProof(proof), {
      olderCommitId: fromHex(trusted.older),
      headCommitId: fromHex(trusted.head),
      olderRecord: trusted.older_record === null ? null : fromHex(trusted.older_record),
    });
    return {
      tree_id: toHex(shown.treeId),
      older_version: String(shown.olderVersion),
      head_version: String(shown.headVersion),
    };
  });
  assert.ok(accepted > 10);
});

test("all evidence gets its answer", () => {
  const accepted = check(evidence, (proof, trusted) => {
    const shown = verifyEvidence(decodeEvidence(proof), {
      provisionalRoot: fromHex(trusted.provisional_root),
      commitId: fromHex(trusted.commit_id),
    });
    return {
      tree_id: toHex(shown.treeId),
      version: String(shown.version),
      sequence: String(shown.sequence),
      index: String(shown.index),
      submission: toHex(shown.submission),
      outcome: toHex(encodeOutcome(shown)),
    };
  });
  assert.ok(accepted > 10);
});

test("what is no commit id is refused as an argument", () => {
  const [ancestor, consistency] = [history.ancestors[0]!.proof, history.consistency[0]!.proof].map(fromHex);
  const good = new Uint8Array(32);
  for (const wrong of [undefined, "00".repeat(32), new Uint8Array(31)] as Uint8Array[]) {
    const heads = { olderCommitId: good, headCommitId: good };
    const proof = decodeConsistencyProof(consistency!);
    assert.throws(() => verifyAncestor(decodeAncestorProof(ancestor!), wrong), ArgumentError);
    assert.throws(() => verifyConsistency(proof, { ...heads, olderCommitId: wrong }), ArgumentError);
    assert.throws(() => verifyConsistency(proof, { ...heads, headCommitId: wrong }), ArgumentError);
    const about = decodeEvidence(fromHex(evidence[0]!.proof));
    assert.throws(() => verifyEvidence(about, { provisionalRoot: wrong, commitId: good }), ArgumentError);
    assert.throws(() => verifyEvidence(about, { provisionalRoot: good, commitId: wrong }), ArgumentError);
  }
});

test("no form is read as another", () => {
  const accepted = <T>(all: readonly Answered<T>[]) => all.filter(({ rule }) => rule === "accepted");
  for (const { proof } of accepted(history.ancestors)) {
    assert.throws(() => decodeConsistencyProof(fromHex(proof)), MalformedError);
    assert.throws(() => decodeEvidence(fromHex(proof)), MalformedError);
  }
  for (const { proof } of accepted(history.consistency)) {
    assert.throws(() => decodeAncestorProof(fromHex(proof)), MalformedError);
  }
});
