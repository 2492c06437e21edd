// Asks the service for proofs, and verifies them here. The service is never asked whether something is true.

import {
  commitId,
  decodeConsistencyProof,
  decodeProof,
  decodeRecord,
  encodeRecord,
  fromHex,
  toHex,
  TrunklineError,
  valueHash,
  verifyConsistency,
  verifyProof,
} from "./verifier.js";

/** Values up to this length come with the proof. Longer ones are proven by their hash. */
export const VALUE_BYTES_MAX = 65_536;
const REPLY_BYTES_MAX = 4 << 20;
const LARGE_VALUE_BYTES_MAX = 64 << 20;
const TIMEOUT_MS = 30_000;

/** The service answers with an error, or not at all: nothing is shown, neither for nor against. */
export class AskError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** What the service sent does not hold against what is pinned. */
export class NotShownError extends Error {
  constructor(code, message, sent) {
    super(message);
    this.code = code;
    this.sent = sent;
  }
}

async function fetched(path, options, bytesMax) {
  let response;
  try {
    response = await fetch(path, { ...options, cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    const body = await bounded(response, bytesMax);
    if (response.ok) return body;
    const { code, message } = JSON.parse(new TextDecoder().decode(body));
    throw new AskError(code, message);
  } catch (error) {
    if (error instanceof AskError) throw error;
    const reason = response === undefined ? "The service does not answer" : `The answer (status ${response.status}) cannot be read`;
    throw new AskError("no_answer", `${reason}. Try again.`);
  }
}

async function bounded(response, bytesMax) {
  const parts = [];
  let length = 0;
  for (let reader = response.body?.getReader(), part; reader && !(part = await reader.read()).done; ) {
    length += part.value.length;
    if (length > bytesMax) throw new AskError("too_large", `The answer has more than ${bytesMax} bytes, so it was not read.`);
    parts.push(part.value);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

async function ask(path, body) {
  const options = body === undefined ? {} : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  const reply = await fetched(path, options, REPLY_BYTES_MAX);
  try {
    return JSON.parse(new TextDecoder().decode(reply));
  } catch {
    throw new AskError("no_answer", "The answer is not JSON. Try again.");
  }
}

function trusted({ kind, hex, tree_id: tree }) {
  switch (kind) {
    case "commit_id":
      return { kind, commitId: fromHex(hex) };
    case "state_digest":
      return { kind, treeId: fromHex(tree), stateDigest: fromHex(hex) };
    case "kzg_root":
      return { kind, treeId: fromHex(tree), kzgRoot: fromHex(hex) };
  }
}

// Runs a verification. Whatever was sent, what is thrown says that nothing is shown.
function held(sent, verify) {
  try {
    return verify();
  } catch (error) {
    const code = error instanceof TrunklineError ? error.code : "malformed";
    throw new NotShownError(code, error.message, sent);
  }
}

/** Returns the claim of a proof of one key that holds against a pin. */
export async function lookUp(pin, key) {
  const reply = await ask("/v1/prove", {
    keys: [{ key_hex: toHex(key) }],
    version: pin.version ?? 0,
    top: pin.kind === "kzg_root" ? "kzg" : "hash",
    value_bytes_max: VALUE_BYTES_MAX,
  });
  const sent = String(reply.proof);
  return held(sent, () => {
    const proof = decodeProof(fromHex(sent));
    const proven = verifyProof(proof, trusted(pin));
    const claim = proven.claim(key);
    if (claim === undefined) throw new Error("the proof is about other keys");
    const record = proven.record === null ? null : toHex(encodeRecord(proven.record));
    return { claim, sent, record, version: proven.version, treeId: toHex(proven.treeId), bytes: sent.length / 2 };
  });
}

/** Fetches a value that was proven by its hash, and returns it if it has that hash. */
export async function fetchValue(key, version, hash) {
  const at = version === null ? "" : `&version=${version}`;
  const value = await fetched(`/v1/keys/${toHex(key)}?hex=true${at}`, {}, LARGE_VALUE_BYTES_MAX);
  if (toHex(valueHash(value)) !== toHex(hash)) {
    throw new NotShownError("OtherValue", "the value has another hash than the proof shows", "");
  }
  return value;
}

/** Returns the newest root of the service, with a commit id that is computed here from its record. */
export async function newestRoot() {
  const reply = await ask("/v1/root");
  const sent = String(reply.record);
  return held(sent, () => {
    const record = decodeRecord(fromHex(sent));
    const id = toHex(commitId(record));
    if (id !== reply.root?.commit_id) throw new Error("the record is not the one of its commit id");
    return { kind: "commit_id", hex: id, version: Number(record.version), tree_id: toHex(record.treeId), record: sent };
  });
}

/**
 * Returns the newest root, once a proof shows that its history continues that of a pinned commit id. Returns null if the
 * pinned one is the newest.
 */
export async function continuation(pin) {
  const newest = await newestRoot();
  if (newest.hex === pin.hex) return null;
  if (newest.version <= pin.version) {
    const what = newest.version === pin.version ? "has another commit id at the pinned version" : `has version ${newest.version}, which is before the pinned one`;
    throw new NotShownError(newest.version === pin.version ? "Fork" : "Behind", `the service ${what}`, newest.record);
  }
  const reply = await ask(`/v1/history/consistency?older_version=${pin.version}&version=${newest.version}`);
  const sent = String(reply.proof);
  return held(sent, () => {
    verifyConsistency(decodeConsistencyProof(fromHex(sent)), {
      olderCommitId: fromHex(pin.hex),
      headCommitId: fromHex(newest.hex),
      olderRecord: pin.record === null ? null : fromHex(pin.record),
    });
    return newest;
  });
}
