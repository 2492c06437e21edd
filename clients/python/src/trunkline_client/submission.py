"""Submission digests and provisional roots (SPEC.md §12), and outcomes (§13)."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import malformed_unless
from .hashes import ZERO, keyed_hash, plain, u8, u16, u64
from .params import TreeParams

_hash_submission = keyed_hash("submission")
_hash_epoch = keyed_hash("epoch")
_hash_provisional = keyed_hash("provisional root")


def submission_digest(
    params: TreeParams,
    writes: Sequence[tuple[bytes, bytes | None]],
    requirements: Sequence[tuple[bytes, bytes | None]] = (),
    metadata: bytes = b"",
) -> bytes:
    """Returns the digest of a submission. Evidence whose submission has this digest is about this batch.

    A write is a key and a value, or None for a delete; of several to one key the last one counts. A requirement is a
    key and the hash of the value that it must have, or None for absent; all of them count.
    """
    key_hash = params.key_hasher()
    last = {key_hash(key): None if value is None else plain(value) for key, value in writes}
    required = sorted(((key_hash(key), value) for key, value in requirements), key=lambda pair: pair[0])
    return _hash_submission(_pairs(sorted(last.items())), _pairs(required), u16(len(metadata)), metadata)


def _pairs(pairs: Sequence[tuple[bytes, bytes | None]]) -> bytes:
    parts = [key + u8(value is not None) + (value or ZERO) for key, value in pairs]
    return u64(len(parts)) + b"".join(parts)


def provisional_start(last_commit_id: bytes, open_epoch: int) -> bytes:
    """Returns the start of the chain of provisional roots of an open epoch."""
    return _hash_epoch(last_commit_id, u64(open_epoch))


def provisional_root(before: bytes, submission: bytes) -> bytes:
    """Returns the provisional root after one more submission."""
    return _hash_provisional(before, submission)


_FIXED = struct.Struct("<Q32sB32sB")
CODES = ("applied", "requirement_failed", "bucket_full", "path_taken", "reverted")


@dataclass(frozen=True)
class Outcome:
    """A submission and what became of it.

    The kind is ``applied``, ``requirement_failed``, ``bucket_full``, ``path_taken`` or ``reverted``. The detail is a
    key hash, for ``reverted`` a commit id, and for ``applied`` the number of displaced keys (``displaced``).
    """

    sequence: int
    submission: bytes
    kind: str
    detail: bytes
    idempotency_key: bytes

    @property
    def displaced(self) -> int | None:
        """The number of keys that policy ``overwrite`` displaced, if the submission was applied."""
        return int.from_bytes(self.detail[:4], "little") if self.kind == "applied" else None

    def encode(self) -> bytes:
        code = CODES.index(self.kind)
        key = self.idempotency_key
        return _FIXED.pack(self.sequence, self.submission, code, self.detail, len(key)) + key


def decode_outcome(encoded: bytes) -> Outcome:
    """Decodes an outcome."""
    malformed_unless(len(encoded) >= _FIXED.size, "an outcome has at least 74 bytes")
    sequence, submission, code, detail, key_bytes = _FIXED.unpack_from(encoded)
    malformed_unless(key_bytes <= 64, "an idempotency key has at most 64 bytes")
    malformed_unless(len(encoded) == _FIXED.size + key_bytes, "an outcome ends where its key does")
    malformed_unless(code < len(CODES), f"{code} is no code of an outcome")
    fits = code != 0 or detail[4:] == bytes(28)
    malformed_unless(fits, "an outcome has a detail that its code does not have")
    return Outcome(sequence, submission, CODES[code], detail, bytes(encoded[_FIXED.size :]))
