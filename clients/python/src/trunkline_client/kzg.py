"""Openings of KZG commitments over BLS12-381 (SPEC.md §6). One check of a proof is one product of two pairings."""

from collections.abc import Sequence
from dataclasses import dataclass

from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar

from .hashes import keyed_hash, scalar_of, u8, u16, u64
from .params import SETUP_ID, SLOTS, TAU_G2

ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
OMEGA = pow(7, (ORDER - 1) // SLOTS, ORDER)
POINTS = [pow(OMEGA, slot, ORDER) for slot in range(SLOTS)]

_TAU = G2Point.from_compressed_bytes(TAU_G2)


@dataclass(frozen=True)
class Equation:
    """e(left, G₂) = e(right, [τ]₂)."""

    left: G1Point
    right: G1Point

    def holds(self) -> bool:
        return bool(GT.multi_pairing([self.left, -self.right], [G2Point(), _TAU]) == GT.one())


def point_of(encoded: bytes) -> G1Point | None:
    """Reads a point of G1. Returns None unless it is canonical (§6.1)."""
    try:
        point = G1Point.from_compressed_bytes(encoded)
    except ValueError:
        return None
    return point if bytes(point.to_compressed_bytes()) == encoded else None


def _times(point: G1Point, scalar: int) -> G1Point:
    return point * Scalar.from_be_bytes((scalar % ORDER).to_bytes(32, "big"))


def opening_of(commitment: G1Point, z: int, y: int, proof: G1Point) -> Equation:
    """Returns the equation of one opening (§6.1)."""
    return Equation(commitment - _times(G1Point(), y) + _times(proof, z), proof)


@dataclass(frozen=True)
class Opened:
    """Slots of one version that are opened, and their values."""

    version: int
    kzg_root: bytes
    slots: Sequence[tuple[int, int]]


_hash_weight = keyed_hash("aggregate weight")
_hash_point = keyed_hash("aggregate point")


def aggregate_seed(opened: Sequence[Opened]) -> bytes:
    """Returns the seed of an aggregate (§6.2, step 1)."""
    parts = [u16(2), SETUP_ID, u64(len(opened))]
    for each in opened:
        parts += [u64(each.version), each.kzg_root, u64(len(each.slots))]
        for slot, value in each.slots:
            parts += [u8(slot), value.to_bytes(32, "big")]
    return _hash_weight(*parts)


def aggregate_point(seed: bytes, w: bytes) -> int:
    """Returns the point at which an aggregate is checked (§6.2, step 3)."""
    return scalar_of(_hash_point(seed, w))


def on_domain(z: int) -> bool:
    """Returns whether z is a 128th root of unity."""
    return pow(z, SLOTS, ORDER) == 1


def aggregate_of(opened: Sequence[Opened], opening: bytes) -> Equation | None:
    """Returns the equation of an aggregate (§6.2), or None if a point is not canonical or z is that of a slot."""
    seed = aggregate_seed(opened)
    z = aggregate_point(seed, opening[:48])
    first, second = point_of(opening[:48]), point_of(opening[48:])
    if on_domain(z) or first is None or second is None:
        return None
    gamma, power, values = scalar_of(seed), 1, 0
    left = _times(second, z) - first
    for each in opened:
        commitment = point_of(each.kzg_root)
        if commitment is None:
            return None
        weights = _weights([slot for slot, _ in each.slots], z)
        values += power * sum(weight * value for weight, (_, value) in zip(weights, each.slots, strict=True))
        left += _times(commitment, power * sum(weights))
        power = power * gamma % ORDER
    return Equation(left - _times(G1Point(), values), second)


def _weights(slots: Sequence[int], z: int) -> list[int]:
    # a_v,i / (z - ω^i) of each slot, without the power of γ.
    weights = []
    for slot in slots:
        product = z - POINTS[slot]
        for other in slots:
            if other != slot:
                product = product * (POINTS[slot] - POINTS[other]) % ORDER
        weights.append(pow(product, -1, ORDER))
    return weights


def value_at(values: Sequence[int], z: int) -> int:
    """Returns the value at z of the polynomial that has the given values on the slots (§16.2, step 5)."""
    total = sum(value * point * pow(z - point, -1, ORDER) for value, point in zip(values, POINTS, strict=True))
    return (pow(z, SLOTS, ORDER) - 1) * pow(SLOTS, -1, ORDER) * total % ORDER
