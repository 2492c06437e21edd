// A prover over a naive tree, for tests: everything is found by looking at all leaves. Hash tops alone.

import { bit, bytesOf, compare, sameBits, u8 } from "../src/bytes.js";
import { hash, hashBucket, hashInner, hashLeaf, ZERO } from "../src/hash.js";
import { decodeProof, treeId, type Claim, type Proof, type TreeParams } from "../src/index.js";
import { keyHasher } from "../src/params.js";
import { encodeProof, leafBytes, type Leaf, type Place, type Terminal } from "../src/proof/proof.js";
import { Siblings } from "../src/proof/siblings.js";
import { topNode } from "../src/proof/verify.js";

/** A state: keys and values. */
export type State = ReadonlyMap<string, string>;

interface Asked {
  readonly key: Uint8Array;
  readonly keyHash: Uint8Array;
}

/** A tree of one state. */
export class Tree {
  readonly #keyHash: (key: Uint8Array) => Uint8Array;
  readonly #leaves: readonly Leaf[];

  constructor(
    readonly params: TreeParams,
    readonly version: bigint,
    private readonly state: State,
  ) {
    this.#keyHash = keyHasher(params);
    const leaves = [...state].map(([key, value]) => ({
      keyHash: this.#keyHash(bytesOf(key)),
      valueHash: hash(bytesOf(value)),
    }));
    this.#leaves = leaves.sort((a, b) => compare(a.keyHash, b.keyHash));
  }

  get treeId(): Uint8Array {
    return treeId(this.params);
  }

  get stateDigest(): Uint8Array {
    return digest(0, this.#leaves);
  }

  /** Proves keys, by their values or by the hashes of these. */
  prove(keys: readonly string[], claims: "value" | "value_hash" = "value"): Proof {
    const asked = keys.map((key) => ({ key: bytesOf(key), keyHash: this.#keyHash(bytesOf(key)) }));
    asked.sort((a, b) => compare(a.keyHash, b.keyHash));
    const parts: Parts = { terminals: [], top: [], below: [] };
    cut(0, this.#leaves, asked, parts);
    const version = {
      version: this.version,
      record: null,
      entries: asked.map(({ key }) => ({ key, claim: this.#claim(key, claims) })),
      terminals: parts.terminals,
      siblings: Siblings.from(parts.below),
      top: { kind: "hash" as const, siblings: Siblings.from(parts.top) },
    };
    return decodeProof(encodeProof({ params: this.params, versions: [version], opening: new Uint8Array(0) }));
  }

  #claim(key: Uint8Array, claims: "value" | "value_hash"): Claim {
    const value = this.state.get(new TextDecoder().decode(key));
    if (value === undefined) return { kind: "absent" };
    if (claims === "value") return { kind: "value", value: bytesOf(value) };
    return { kind: "value_hash", valueHash: hash(bytesOf(value)) };
  }
}

/** The digest of the node over these leaves. */
export function digest(depth: number, leaves: readonly Leaf[]): Uint8Array {
  if (leaves.length === 0) return ZERO;
  if (depth >= 7 && leaves.length === 1) return hashLeaf(leaves[0]!.keyHash, leaves[0]!.valueHash);
  if (depth === 56) return hashBucket(u8(leaves.length), leafBytes(leaves));
  const [left, right] = halves(depth, leaves);
  const both = [digest(depth + 1, left), digest(depth + 1, right)] as const;
  return depth < 7 ? topNode(...both) : hashInner(...both);
}

interface Parts {
  readonly terminals: Terminal[];
  readonly top: Uint8Array[];
  readonly below: Uint8Array[];
}

function cut(depth: number, leaves: readonly Leaf[], asked: readonly Asked[], parts: Parts): void {
  if (asked.length === 0) {
    (depth <= 7 ? parts.top : parts.below).push(digest(depth, leaves));
  } else if (depth >= 7 && (leaves.length < 2 || depth === 56)) {
    parts.terminals.push({ depth, place: place(leaves, asked) });
  } else {
    const [left, right] = halves(depth, leaves);
    const [first, second] = halves(depth, asked);
    cut(depth + 1, left, first, parts);
    cut(depth + 1, right, second, parts);
  }
}

function place(leaves: readonly Leaf[], asked: readonly Asked[]): Place {
  const [leaf] = leaves;
  if (leaf === undefined) return { kind: "empty" };
  if (leaves.length > 1) return { kind: "bucket", members: leaves };
  const isAsked = asked.some(({ keyHash }) => sameBits(keyHash, leaf.keyHash, 256));
  return isAsked ? { kind: "own_leaf" } : { kind: "other_leaf", leaf };
}

function halves<T extends { readonly keyHash: Uint8Array }>(depth: number, all: readonly T[]): [T[], T[]] {
  const side = (value: number) => all.filter(({ keyHash }) => bit(keyHash, depth) === value);
  return [side(0), side(1)];
}

/** Random numbers that a seed decides: the same in every run. */
export function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
