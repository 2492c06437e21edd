// Prints how long proofs of the vectors take, after the code is warm. Run by `npm run measure`.

import { decodeAuditProof, decodeProof, fromHex, verifyAudit, type Trusted } from "../src/index.js";
import { verifyEach } from "../src/proof/verify.js";
import { trustedOf, vectors, type TrustedVector } from "./vectors.js";

const ROUNDS = 30;

function measure(name: string, run: () => void): void {
  const begin = performance.now();
  run();
  const first = performance.now() - begin;
  const times = Array.from({ length: ROUNDS }, () => {
    const began = performance.now();
    run();
    return performance.now() - began;
  }).sort((a, b) => a - b);
  const [least, middle] = [times[0]!, times[ROUNDS >> 1]!];
  console.log(`${name}: ${middle.toFixed(2)} ms (least ${least.toFixed(2)}, first ${first.toFixed(1)})`);
}

const proofs = vectors<{ name: string; proof: string; trusted: TrustedVector[] }[]>("proofs.json");
for (const { name, proof, trusted } of proofs) {
  const [bytes, roots] = [fromHex(proof), trusted.map(trustedOf)];
  const opening = decodeProof(bytes).opening.length;
  const what = `${name} (${bytes.length} bytes, ${roots.length} versions, ${opening} of opening)`;
  measure(what, () => verifyEach(decodeProof(bytes), roots));
}
const [audit] = vectors<{ proof: string; trusted: TrustedVector; rule: string }[]>("audits.json").filter(
  ({ rule, proof }) => rule === "accepted" && proof.length > 8000,
);
const bytes = fromHex(audit!.proof);
measure("audit", () => verifyAudit(decodeAuditProof(bytes), trustedOf(audit!.trusted) as Trusted));
