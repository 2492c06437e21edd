"""Evidence about a submission (SPEC.md §15)."""

from collections.abc import Sequence
from dataclasses import dataclass

from .errors import refuse_unless
from .ranges import OUTCOMES, Inclusion, included_in, inclusion_of
from .record import CommitRecord, decode_record
from .submission import Outcome, decode_outcome, provisional_root
from .trusted import check_bytes
from .wire import Field, decode, digests, one_digest

_EVIDENCE_BYTES_MAX = 33_562_624
_LATER_MAX = 1_048_576

EVIDENCE = {
    "format": Field(1, "uint32"),
    "record": Field(2, "bytes"),
    "outcome": Field(3, "bytes"),
    "siblings": Field(4, "bytes"),
    "peaks": Field(5, "bytes"),
    "provisional_before": Field(6, "bytes"),
    "later": Field(7, "bytes"),
}


@dataclass(frozen=True)
class Evidence:
    """Evidence that a submission is part of a version, and what became of it."""

    record: CommitRecord
    outcome: Outcome
    inclusion: Inclusion
    provisional_before: bytes
    later: Sequence[bytes]


def decode_evidence(encoded: bytes) -> Evidence:
    """Decodes evidence."""
    message = decode(EVIDENCE, encoded, _EVIDENCE_BYTES_MAX)
    return Evidence(
        record=decode_record(message["record"]),
        outcome=decode_outcome(message["outcome"]),
        inclusion=inclusion_of(message["siblings"], message["peaks"]),
        provisional_before=one_digest(message["provisional_before"], "the provisional root before"),
        later=digests(message["later"], _LATER_MAX, "later submissions"),
    )


@dataclass(frozen=True)
class VerifiedEvidence:
    """The facts that evidence shows of a submission. Its place in the version is ``index``, from 0."""

    tree_id: bytes
    version: int
    index: int
    outcome: Outcome


def verify_evidence(evidence: Evidence, receipt_root: bytes, commit_id: bytes) -> VerifiedEvidence:
    """Verifies evidence against the provisional root of a receipt, and the commit id of the version (§15.1)."""
    check_bytes(receipt_root, 32, "the trusted provisional root")
    check_bytes(commit_id, 32, "the trusted commit id")
    record, outcome = evidence.record, evidence.outcome
    refuse_unless(record.commit_id() == commit_id, "Commit")
    first, last, sequence = record.first_sequence, record.last_sequence, outcome.sequence
    count = last - first + 1
    refuse_unless(first <= sequence <= last and count < 1 << 64, "Sequence")
    digest = included_in(OUTCOMES, count, sequence - first, outcome.encode(), evidence.inclusion)
    refuse_unless(digest == record.outcomes_digest, "Digest")
    root = provisional_root(evidence.provisional_before, outcome.submission)
    refuse_unless(root == receipt_root, "ProvisionalRoot")
    refuse_unless(len(evidence.later) == last - sequence, "LaterCount")
    for submission in evidence.later:
        root = provisional_root(root, submission)
    refuse_unless(root == record.provisional_root, "Chain")
    return VerifiedEvidence(record.tree_id, record.version, sequence - first, outcome)
