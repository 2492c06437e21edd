// Openings of KZG commitments over BLS12-381 (SPEC.md §6). One check of a proof is one product of two pairings.

import { pippenger } from "@noble/curves/abstract/curve.js";
import { FpInvertBatch } from "@noble/curves/abstract/modular.js";
import { bls12_381 as bls } from "@noble/curves/bls12-381.js";
import { bytesToHex, randomBytes } from "@noble/hashes/utils.js";
import { equal, joined, scalarOf, u16, u64, u8 } from "./bytes.js";
import { keyedHash } from "./hash.js";
import { SLOTS } from "./params.js";
import { SETUP_ID, TAU_G2 } from "./setup.js";

const G1 = bls.G1.Point;
const G2 = bls.G2.Point;
type G1Point = InstanceType<typeof G1>;

/** The field of scalars. */
export const Fr = bls.fields.Fr;

/** A primitive 128th root of unity. */
export const OMEGA: bigint = Fr.pow(7n, (Fr.ORDER - 1n) / BigInt(SLOTS));

/** ω^i, the point of each slot. */
export const POINTS: readonly bigint[] = Array.from({ length: SLOTS }, (_, slot) => Fr.pow(OMEGA, BigInt(slot)));

/** e(left, G₂) = e(right, [τ]₂). */
export interface Equation {
  readonly left: G1Point;
  readonly right: G1Point;
}

/** Reads a point of G1. Returns null unless it is canonical (§6.1). */
export function pointOf(bytes: Uint8Array): G1Point | null {
  try {
    const point = G1.fromBytes(bytes);
    return equal(point.toBytes(true), bytes) ? point : null;
  } catch {
    return null;
  }
}

const TAU = G2.fromBytes(TAU_G2);

/** Returns whether an equation holds. */
export function holds({ left, right }: Equation): boolean {
  // e(O, ·) is 1, and the library takes no pairs with O.
  const pairs = [
    { g1: left, g2: G2.BASE },
    { g1: right.negate(), g2: TAU },
  ].filter(({ g1 }) => !g1.is0());
  return bls.fields.Fp12.eql(bls.pairingBatch(pairs), bls.fields.Fp12.ONE);
}

/** Returns whether all equations hold: their sum with random weights does (§6.1). */
export function allHold(equations: readonly Equation[]): boolean {
  const weights = equations.map(() => BigInt(`0x${bytesToHex(randomBytes(16))}`));
  const folded = (side: keyof Equation) =>
    sum(
      equations.map((equation) => equation[side]),
      weights,
    );
  return holds({ left: folded("left"), right: folded("right") });
}

/** Returns the equation of one opening (§6.1). */
export function openingOf(commitment: G1Point, z: bigint, y: bigint, proof: G1Point): Equation {
  return { left: sum([commitment, G1.BASE, proof], [1n, Fr.neg(y), z]), right: proof };
}

/** Slots that are opened, and their values. */
export interface Opened {
  readonly version: bigint;
  readonly kzgRoot: Uint8Array;
  readonly slots: readonly { readonly slot: number; readonly value: bigint }[];
}

const hashWeight = keyedHash("aggregate weight");
const hashPoint = keyedHash("aggregate point");

/** Returns the seed of an aggregate (§6.2, step 1). */
export function aggregateSeed(opened: readonly Opened[]): Uint8Array {
  const parts = [u16(2), SETUP_ID, u64(BigInt(opened.length))];
  for (const { version, kzgRoot, slots } of opened) {
    parts.push(u64(version), kzgRoot, u64(BigInt(slots.length)));
    for (const { slot, value } of slots) parts.push(u8(slot), Fr.toBytes(value));
  }
  return hashWeight(joined(parts));
}

/** Returns the point at which an aggregate is checked (§6.2, step 3). */
export function aggregatePoint(seed: Uint8Array, w: Uint8Array): bigint {
  return scalarOf(hashPoint(seed, w));
}

/** Returns the equation of an aggregate (§6.2), or null if a point is not canonical or z is that of a slot. */
export function aggregateOf(opened: readonly Opened[], opening: Uint8Array): Equation | null {
  const seed = aggregateSeed(opened);
  const z = aggregatePoint(seed, opening.subarray(0, 48));
  if (onDomain(z)) return null;
  const first = pointOf(opening.subarray(0, 48));
  const second = pointOf(opening.subarray(48));
  if (first === null || second === null) return null;
  const commitments = [];
  for (const { kzgRoot } of opened) {
    const commitment = pointOf(kzgRoot);
    if (commitment === null) return null;
    commitments.push(commitment);
  }
  const { factors, values } = folded(opened, scalarOf(seed), z);
  const points = [...commitments, G1.BASE, first, second];
  return { left: sum(points, [...factors, Fr.neg(values), Fr.neg(1n), z]), right: second };
}

/** Returns whether z is a 128th root of unity. */
export function onDomain(z: bigint): boolean {
  return Fr.eql(Fr.pow(z, BigInt(SLOTS)), Fr.ONE);
}

// f_v of each version, and s (§6.2, step 4).
function folded(opened: readonly Opened[], gamma: bigint, z: bigint): { factors: bigint[]; values: bigint } {
  const factors = [];
  let values = 0n;
  let power = Fr.ONE;
  let weights: Weights | null = null;
  for (const { slots } of opened) {
    const set = slots.map(({ slot }) => slot);
    // The versions of a proof are often about the same keys.
    if (weights === null || !sameSlots(weights.set, set)) weights = weightsOf(set, z);
    factors.push(Fr.mul(power, weights.sum));
    slots.forEach(({ value }, i) => {
      values = Fr.add(values, Fr.mul(power, Fr.mul(weights!.each[i]!, value)));
    });
    power = Fr.mul(power, gamma);
  }
  return { factors, values };
}

interface Weights {
  readonly set: readonly number[];
  readonly each: readonly bigint[];
  readonly sum: bigint;
}

// a_v,i / (z - ω^i) of each slot and their sum, without the power of γ.
function weightsOf(set: readonly number[], z: bigint): Weights {
  const divisors = set.map((slot) => {
    const point = POINTS[slot]!;
    let product = Fr.sub(z, point);
    for (const other of set) if (other !== slot) product = Fr.mul(product, Fr.sub(point, POINTS[other]!));
    return product;
  });
  const each = FpInvertBatch(Fr, divisors, true);
  return { set, each, sum: each.reduce((total, weight) => Fr.add(total, weight), 0n) };
}

function sameSlots(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((slot, i) => slot === b[i]);
}

/** Returns the value at z of the polynomial that has the given values on the slots (§16.2, step 5). */
export function valueAt(values: readonly bigint[], z: bigint): bigint {
  const inverses = FpInvertBatch(
    Fr,
    POINTS.map((point) => Fr.sub(z, point)),
    true,
  );
  const total = values.reduce(
    (sum, value, slot) => Fr.add(sum, Fr.mul(Fr.mul(value, POINTS[slot]!), inverses[slot]!)),
    0n,
  );
  const vanishing = Fr.sub(Fr.pow(z, BigInt(SLOTS)), Fr.ONE);
  return Fr.mul(Fr.mul(vanishing, Fr.inv(BigInt(SLOTS))), total);
}

// All scalars and points are public, so that nothing has to take constant time.
function sum(points: G1Point[], scalars: bigint[]): G1Point {
  if (points.length > 16) return pippenger(G1, points, scalars);
  return points.reduce((total, point, i) => total.add(multiple(point, scalars[i]!)), G1.ZERO);
}

function multiple(point: G1Point, scalar: bigint): G1Point {
  return scalar === 0n || point.is0() ? G1.ZERO : point.multiplyUnsafe(scalar);
}
