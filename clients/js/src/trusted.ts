// What a client trusts already, from another source than the proof (SPEC.md "Trust", §5, §10.3).

import { isBytes } from "@noble/hashes/utils.js";
import { ArgumentError } from "./error.js";

/** A root with all its parts. Binds the tree, the version, the state and a carried record. */
export interface TrustedRoot {
  readonly kind: "root";
  readonly treeId: Uint8Array;
  readonly version: bigint;
  readonly commitId: Uint8Array;
  readonly stateDigest: Uint8Array;
  /** The KZG root, if one was computed. */
  readonly kzgRoot: Uint8Array | null;
}

/** A commit id. Binds the same; takes a proof with a hash top and its record. */
export interface TrustedCommitId {
  readonly kind: "commit_id";
  readonly commitId: Uint8Array;
}

/** A tree id and a state digest. Binds the tree and the state, and no version; takes a hash top. */
export interface TrustedStateDigest {
  readonly kind: "state_digest";
  readonly treeId: Uint8Array;
  readonly stateDigest: Uint8Array;
}

/** A tree id and a KZG root. Binds the tree and the state, and no version; takes a KZG top. */
export interface TrustedKzgRoot {
  readonly kind: "kzg_root";
  readonly treeId: Uint8Array;
  readonly kzgRoot: Uint8Array;
}

/**
 * A fact that you trust, and pin. Nothing that came with the proof, or from whom the proof came from, belongs here. There is
 * no form of a state digest or a KZG root without a tree id: who makes the proof could choose another salt, and show a
 * present key as absent.
 */
export type Trusted = TrustedRoot | TrustedCommitId | TrustedStateDigest | TrustedKzgRoot;

/** Nothing is trusted: the proof agrees with itself, and binds nothing. */
export interface Nothing {
  readonly kind: "nothing";
}

export const NOTHING_TRUSTED: Nothing = { kind: "nothing" };

const KINDS = ["root", "commit_id", "state_digest", "kzg_root"];

/** Refuses what types would have refused: callers may have none. */
export function checkTrusted(trusted: Trusted): void {
  const kind: unknown = (trusted as Trusted | undefined)?.kind;
  if (!KINDS.includes(kind as string)) throw new ArgumentError(`what is trusted has a kind of ${KINDS.join(", ")}`);
  if (trusted.kind !== "commit_id") digest(trusted.treeId, "the trusted tree id");
  if (trusted.kind === "root" || trusted.kind === "commit_id") digest(trusted.commitId, "the trusted commit id");
  if (trusted.kind === "root" || trusted.kind === "state_digest") {
    digest(trusted.stateDigest, "the trusted state digest");
  }
  if (trusted.kind === "kzg_root") checkLength(trusted.kzgRoot, 48, "the trusted KZG root");
  if (trusted.kind !== "root") return;
  if (trusted.kzgRoot !== null) checkLength(trusted.kzgRoot, 48, "the trusted KZG root, if it is not null,");
  if (typeof trusted.version !== "bigint") throw new ArgumentError("the trusted version must be a bigint");
}

/** Refuses an argument that is no digest. */
export function digest(bytes: Uint8Array, name: string): void {
  checkLength(bytes, 32, name);
}

function checkLength(bytes: Uint8Array, length: number, name: string): void {
  if (!isBytes(bytes) || bytes.length !== length) throw new ArgumentError(`${name} must be ${length} bytes`);
}
