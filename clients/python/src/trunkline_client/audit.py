"""Audit proofs (SPEC.md §16)."""

from collections.abc import Sequence
from dataclasses import dataclass

from .errors import malformed_unless, refuse, refuse_unless
from .hashes import ZERO, keyed_hash, pieces, scalar_of, u16
from .kzg import on_domain, opening_of, point_of, value_at
from .params import SETUP_ID, SLOTS, TreeParams, params_of
from .record import CommitRecord, carried_record
from .trusted import CommitId, KzgRoot, Nothing, Root, StateDigest, Trusted, check_trusted
from .verify import top_node
from .wire import Field, decode

_AUDIT_BYTES_MAX = 8192

AUDIT_PROOF = {
    "format": Field(1, "uint32"),
    "salt": Field(2, "bytes"),
    "collision": Field(3, "uint32"),
    "version": Field(4, "uint64"),
    "record": Field(5, "bytes"),
    "kzg_root": Field(6, "bytes"),
    "empty_slots": Field(7, "bytes"),
    "slots": Field(8, "bytes"),
    "opening": Field(9, "bytes"),
    "nonce": Field(10, "bytes"),
}


@dataclass(frozen=True)
class AuditProof:
    """A proof that a state digest and a KZG root are made of the same slots."""

    params: TreeParams
    version: int
    record: CommitRecord | None
    kzg_root: bytes
    slots: Sequence[bytes]
    opening: bytes


def decode_audit_proof(encoded: bytes) -> AuditProof:
    """Decodes an audit proof."""
    message = decode(AUDIT_PROOF, encoded, _AUDIT_BYTES_MAX)
    malformed_unless(len(message["kzg_root"]) == 48, "a KZG root has 48 bytes")
    malformed_unless(len(message["opening"]) == 48, "the opening of an audit proof has 48 bytes")
    return AuditProof(
        params=params_of(message["nonce"], message["salt"], message["collision"]),
        version=message["version"],
        record=carried_record(message["record"]),
        kzg_root=message["kzg_root"],
        slots=_slots(message["empty_slots"], message["slots"]),
        opening=message["opening"],
    )


def _slots(empty: bytes, listed: bytes) -> list[bytes]:
    malformed_unless(len(empty) == SLOTS // 8, "the bitmap of slots has 16 bytes")
    malformed_unless(len(listed) % 32 == 0, "the slots are no whole number of digests")
    digests = pieces(listed, 32)
    bits = int.from_bytes(empty, "little")
    fits = len(digests) == SLOTS - bits.bit_count()
    malformed_unless(fits, "there are more or fewer slots than the bitmap says")
    malformed_unless(ZERO not in digests, "a listed slot is empty")
    left = iter(digests)
    return [ZERO if bits >> slot & 1 else next(left) for slot in range(SLOTS)]


@dataclass(frozen=True)
class VerifiedAudit:
    """The facts that an audit proof shows.

    ``binds`` is ``both_roots``, or ``kzg_root``: then the two most significant bits of each slot digest are free, and
    with them the state digest. With nothing trusted it is ``nothing``. The version is None if it is not bound.
    """

    binds: str
    tree_id: bytes
    version: int | None
    state_digest: bytes
    kzg_root: bytes
    slots: Sequence[bytes]


def verify_audit(proof: AuditProof, trusted: Trusted) -> VerifiedAudit:
    """Verifies an audit proof against what you trust (§16.2)."""
    check_trusted(trusted)
    return _verify(proof, trusted)


def check_audit(proof: AuditProof) -> VerifiedAudit:
    """Checks that the two roots belong together. Trusts nothing, so neither root is proven to be yours."""
    return _verify(proof, Nothing())


def _verify(proof: AuditProof, trusted: Trusted | Nothing) -> VerifiedAudit:
    tree_id, record = proof.params.tree_id(), proof.record
    state_digest = _fold(proof.slots)
    if record is not None:
        refuse_unless(record.tree_id == tree_id, "RecordTree")
        refuse_unless(record.version == proof.version, "RecordVersion")
        refuse_unless(record.state_digest == state_digest, "RecordState")
    binds = _compare(proof, tree_id, state_digest, trusted)
    _check_opening(proof, tree_id)
    version = proof.version if isinstance(trusted, (Root, CommitId)) else None
    return VerifiedAudit(binds, tree_id, version, state_digest, proof.kzg_root, proof.slots)


def _fold(slots: Sequence[bytes]) -> bytes:
    while len(slots) > 1:
        slots = [top_node(left, right) for left, right in zip(slots[::2], slots[1::2], strict=True)]
    return slots[0]


def _compare(proof: AuditProof, tree_id: bytes, state_digest: bytes, trusted: Trusted | Nothing) -> str:
    commit_id = None if proof.record is None else proof.record.commit_id()
    match trusted:
        case Root():
            refuse_unless(trusted.tree_id == tree_id, "TrustedTree")
            refuse_unless(trusted.version == proof.version, "TrustedVersion")
            refuse_unless(commit_id in (None, trusted.commit_id), "TrustedCommit")
            refuse_unless(trusted.state_digest == state_digest, "TrustedState")
            refuse_unless(trusted.kzg_root in (None, proof.kzg_root), "TrustedKzgRoot")
            return "both_roots"
        case CommitId():
            refuse_unless(commit_id is not None, "NeedsRecord")
            refuse_unless(trusted.commit_id == commit_id, "TrustedCommit")
            return "both_roots"
        case StateDigest():
            refuse_unless(trusted.tree_id == tree_id, "TrustedTree")
            refuse_unless(trusted.state_digest == state_digest, "TrustedState")
            return "both_roots"
        case KzgRoot():
            refuse_unless(trusted.tree_id == tree_id, "TrustedTree")
            refuse_unless(trusted.kzg_root == proof.kzg_root, "TrustedKzgRoot")
            return "kzg_root"
        case Nothing():
            return "nothing"


_hash_point = keyed_hash("audit point")


def audit_point(tree_id: bytes, kzg_root: bytes, slots: Sequence[bytes]) -> int:
    """Returns the point at which an audit proof is checked (§16.2, step 4)."""
    return scalar_of(_hash_point(u16(2), SETUP_ID, tree_id, kzg_root, *slots))


def _check_opening(proof: AuditProof, tree_id: bytes) -> None:
    z = audit_point(tree_id, proof.kzg_root, proof.slots)
    refuse_unless(not on_domain(z), "PointOnDomain")
    commitment, opening = point_of(proof.kzg_root), point_of(proof.opening)
    if commitment is None:
        refuse("KzgRootPoint")
    if opening is None:
        refuse("OpeningPoint")
    y = value_at([scalar_of(slot) for slot in proof.slots], z)
    refuse_unless(opening_of(commitment, z, y, opening).holds(), "Opening")
