import { strict as assert } from "node:assert";
import { test } from "node:test";
import {
  ArgumentError,
  checkAudit,
  decodeAuditProof,
  fromHex,
  toHex,
  verifyAudit,
  type Trusted,
} from "../src/index.js";
import { check, trustedOf, vectors, type Answered, type TrustedVector } from "./vectors.js";

const audits = vectors<Answered<TrustedVector>[]>("audits.json");

test("every audit proof gets its answer", () => {
  const accepted = check(audits, (bytes, vector) => {
    const trusted = trustedOf(vector);
    const proof = decodeAuditProof(bytes);
    const shown = trusted.kind === "nothing" ? checkAudit(proof) : verifyAudit(proof, trusted);
    return {
      binds: shown.binds,
      tree_id: toHex(shown.treeId),
      version: shown.version === null ? null : String(shown.version),
      state_digest: toHex(shown.stateDigest),
      kzg_root: toHex(shown.kzgRoot),
    };
  });
  assert.ok(accepted > 10);
});

test("an audit is not verified against nothing", () => {
  const proof = decodeAuditProof(fromHex(audits[0]!.proof));
  assert.throws(() => verifyAudit(proof, { kind: "nothing" } as unknown as Trusted), ArgumentError);
});
