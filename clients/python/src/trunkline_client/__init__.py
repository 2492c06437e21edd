"""Verifies what trunkline proves, written from SPEC.md.

Nothing here reads a network, a file or a clock: bytes and what you trust go in, and what is proven comes out, or an
error.
"""

from .audit import AuditProof, VerifiedAudit, check_audit, decode_audit_proof, verify_audit
from .errors import ArgumentError, MalformedError, RefusedError, TrunklineError
from .evidence import Evidence, VerifiedEvidence, decode_evidence, verify_evidence
from .history import (
    Ancestor,
    AncestorProof,
    ConsistencyProof,
    Consistent,
    decode_ancestor_proof,
    decode_consistency_proof,
    verify_ancestor,
    verify_consistency,
)
from .params import TreeParams
from .proof import Absent, Claim, Entry, Proof, Value, ValueHash, decode_proof
from .record import CommitRecord, decode_record
from .submission import Outcome, decode_outcome, provisional_root, provisional_start, submission_digest
from .trusted import CommitId, KzgRoot, Root, StateDigest, Trusted
from .verify import Proven, Unproven, check_proof, verify_proof, verify_versions

__all__ = [
    "Absent",
    "Ancestor",
    "AncestorProof",
    "ArgumentError",
    "AuditProof",
    "Claim",
    "CommitId",
    "CommitRecord",
    "Consistent",
    "ConsistencyProof",
    "Entry",
    "Evidence",
    "KzgRoot",
    "MalformedError",
    "Outcome",
    "Proof",
    "Proven",
    "RefusedError",
    "Root",
    "StateDigest",
    "TreeParams",
    "TrunklineError",
    "Trusted",
    "Unproven",
    "Value",
    "ValueHash",
    "VerifiedAudit",
    "VerifiedEvidence",
    "check_audit",
    "check_proof",
    "decode_ancestor_proof",
    "decode_audit_proof",
    "decode_consistency_proof",
    "decode_evidence",
    "decode_outcome",
    "decode_proof",
    "decode_record",
    "provisional_root",
    "provisional_start",
    "submission_digest",
    "verify_ancestor",
    "verify_audit",
    "verify_consistency",
    "verify_evidence",
    "verify_proof",
    "verify_versions",
]
