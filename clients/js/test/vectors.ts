// The vectors of core/tests/vectors, and the answers of this package in their words.

import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { fromHex, MalformedError, RefusedError, toHex, type Trusted } from "../src/index.js";
import type { Nothing } from "../src/trusted.js";

/** The root of the repository: compiled tests are in clients/js/build/test. */
export const REPOSITORY = new URL("../../../../", import.meta.url);

/** Reads a file of the repository. */
export function text(path: string): string {
  return readFileSync(new URL(path, REPOSITORY), "utf8");
}

/** Reads a file of vectors. */
export function vectors<T>(file: string): T {
  return JSON.parse(text(`core/tests/vectors/${file}`)) as T;
}

export type TrustedVector = { kind: string } & Partial<Record<string, string | null>>;

/** Reads what a vector trusts. */
export function trustedOf(vector: TrustedVector): Trusted | Nothing {
  const bytes = (name: string) => fromHex(vector[name]!);
  switch (vector.kind) {
    case "root": {
      const kzgRoot = vector["kzg_root"] == null ? null : bytes("kzg_root");
      const version = BigInt(vector["version"]!);
      const [treeId, commitId, stateDigest] = [bytes("tree_id"), bytes("commit_id"), bytes("state_digest")];
      return { kind: "root", treeId, version, commitId, stateDigest, kzgRoot };
    }
    case "commit_id":
      return { kind: "commit_id", commitId: bytes("commit_id") };
    case "state_digest":
      return { kind: "state_digest", treeId: bytes("tree_id"), stateDigest: bytes("state_digest") };
    case "kzg_root":
      return { kind: "kzg_root", treeId: bytes("tree_id"), kzgRoot: bytes("kzg_root") };
    case "nothing":
      return { kind: "nothing" };
    default:
      throw new Error(`a vector trusts ${vector.kind}`);
  }
}

/** Returns the rule that refuses, or `accepted` and what is shown. Any other error is a failure. */
export function answer<S>(verify: () => S): { rule: string; shown?: S } {
  try {
    return { rule: "accepted", shown: verify() };
  } catch (error) {
    if (error instanceof MalformedError || error instanceof RefusedError) return { rule: error.code };
    throw error;
  }
}

/** A vector that has its answer with it. */
export interface Answered<T> {
  of: string;
  mutation: string;
  rule: string;
  malformed?: string;
  proof: string;
  trusted: T;
  shown?: unknown;
}

/** Compares the answer to each vector with that in the file. Returns how many were accepted. */
export function check<T>(all: readonly Answered<T>[], verify: (proof: Uint8Array, trusted: T) => unknown): number {
  for (const vector of all) {
    const { rule, shown } = answer(() => verify(fromHex(vector.proof), vector.trusted));
    const name = `${vector.of}: ${vector.mutation}`;
    assert.equal(rule, vector.rule, name);
    assert.deepEqual(shown, vector.shown, name);
  }
  return all.filter(({ rule }) => rule === "accepted").length;
}

/** Writes bytes, or null. */
export function hex(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : toHex(bytes);
}
