"""Proofs over the history (SPEC.md §14)."""

from collections.abc import Sequence
from dataclasses import dataclass

from .errors import refuse, refuse_unless
from .ranges import HISTORY, Inclusion, Range, included_in, inclusion_of
from .record import CommitRecord, carried_record, decode_record
from .trusted import check_bytes
from .wire import Field, decode, digests, one_digest

_HISTORY_BYTES_MAX = 16_384

ANCESTOR_PROOF = {
    "format": Field(1, "uint32"),
    "head": Field(2, "bytes"),
    "version": Field(3, "uint64"),
    "commit_id": Field(4, "bytes"),
    "siblings": Field(5, "bytes"),
    "peaks": Field(6, "bytes"),
}
CONSISTENCY_PROOF = {
    "format": Field(1, "uint32"),
    "older": Field(2, "bytes"),
    "head": Field(3, "bytes"),
    "peaks": Field(4, "bytes"),
    "nodes": Field(5, "bytes"),
}


@dataclass(frozen=True)
class AncestorProof:
    """A proof that a commit id is that of an older version, in the history of a head."""

    head: CommitRecord
    version: int
    commit_id: bytes
    inclusion: Inclusion


@dataclass(frozen=True)
class ConsistencyProof:
    """A proof that the history of a head continues that of an older head."""

    older: CommitRecord | None
    head: CommitRecord
    peaks: Sequence[bytes]
    nodes: Sequence[bytes]


def decode_ancestor_proof(encoded: bytes) -> AncestorProof:
    """Decodes an ancestor proof."""
    message = decode(ANCESTOR_PROOF, encoded, _HISTORY_BYTES_MAX)
    return AncestorProof(
        head=decode_record(message["head"]),
        version=message["version"],
        commit_id=one_digest(message["commit_id"], "the commit id"),
        inclusion=inclusion_of(message["siblings"], message["peaks"]),
    )


def decode_consistency_proof(encoded: bytes) -> ConsistencyProof:
    """Decodes a consistency proof."""
    message = decode(CONSISTENCY_PROOF, encoded, _HISTORY_BYTES_MAX)
    return ConsistencyProof(
        older=carried_record(message["older"]),
        head=decode_record(message["head"]),
        peaks=digests(message["peaks"], 64, "peaks"),
        nodes=digests(message["nodes"], 128, "nodes"),
    )


@dataclass(frozen=True)
class Ancestor:
    """The older version that an ancestor proof shows."""

    tree_id: bytes
    version: int
    commit_id: bytes
    head_version: int


def verify_ancestor(proof: AncestorProof, head_commit_id: bytes) -> Ancestor:
    """Verifies an ancestor proof against the commit id of the head, which you trust (§14.2)."""
    check_bytes(head_commit_id, 32, "the trusted commit id of the head")
    head, version = proof.head, proof.version
    refuse_unless(head.commit_id() == head_commit_id, "HeadCommit")
    refuse_unless(version < head.version, "NotOlder")
    history = included_in(HISTORY, head.version, version, proof.commit_id, proof.inclusion)
    refuse_unless(history == head.history_digest, "Digest")
    refuse_unless(version + 1 != head.version or proof.commit_id == head.parent, "Parent")
    return Ancestor(head.tree_id, version, proof.commit_id, head.version)


@dataclass(frozen=True)
class Consistent:
    """The heads that a consistency proof ties together."""

    tree_id: bytes
    older_version: int
    head_version: int


def verify_consistency(
    proof: ConsistencyProof, older_commit_id: bytes, head_commit_id: bytes, older_record: bytes | None = None
) -> Consistent:
    """Verifies a consistency proof against the commit ids of both heads (§14.3).

    ``older_record`` is the record of the older head, if only you have it.
    """
    check_bytes(older_commit_id, 32, "the trusted commit id of the older head")
    check_bytes(head_commit_id, 32, "the trusted commit id of the head")
    head, older = proof.head, _older_of(proof, older_record)
    refuse_unless(older.commit_id() == older_commit_id, "OlderCommit")
    refuse_unless(head.commit_id() == head_commit_id, "HeadCommit")
    refuse_unless(older.tree_id == head.tree_id, "Tree")
    refuse_unless(older.version < head.version, "NotOlder")
    refuse_unless(len(proof.peaks) == older.version.bit_count(), "PeakCount")
    refuse_unless(HISTORY.digest(older.version, proof.peaks) == older.history_digest, "OlderHistory")
    whole = Range(HISTORY, older.version, proof.peaks)
    whole.append(older_commit_id)
    _append_nodes(whole, older.version + 1, head.version, proof.nodes)
    refuse_unless(whole.digest(head.version) == head.history_digest, "HeadHistory")
    refuse_unless(older.version + 1 != head.version or head.parent == older_commit_id, "Parent")
    return Consistent(head.tree_id, older.version, head.version)


def _older_of(proof: ConsistencyProof, added: bytes | None) -> CommitRecord:
    if added is not None:
        refuse_unless(proof.older is None or proof.older.encode() == added, "OtherOlder")
        return decode_record(added)
    return proof.older if proof.older is not None else refuse("NeedsOlder")


def _append_nodes(whole: Range, items: int, to: int, nodes: Sequence[bytes]) -> None:
    # The next subtree has the largest height that divides the number of items, and that still fits.
    for node in nodes:
        refuse_unless(items < to, "NodeCount")
        size = min(items & -items, 1 << (to - items).bit_length() - 1)
        whole.push(size.bit_length() - 1, node)
        items += size
    refuse_unless(items == to, "NodeCount")
