"""Commit records (SPEC.md §4)."""

import struct
from dataclasses import astuple, dataclass

from .errors import malformed_unless
from .hashes import keyed_hash

_FIXED = struct.Struct("<H32sQ32sQQQ32s32s32sQ32sH")
_METADATA_BYTES_MAX = 256

_hash_commit_id = keyed_hash("commit id")


@dataclass(frozen=True)
class CommitRecord:
    """All that a commit id binds."""

    tree_id: bytes
    version: int
    parent: bytes
    open_epoch: int
    first_sequence: int
    last_sequence: int
    provisional_root: bytes
    outcomes_digest: bytes
    state_digest: bytes
    key_count: int
    history_digest: bytes
    metadata: bytes

    def encode(self) -> bytes:
        """Encodes the record."""
        *fields, _ = astuple(self)
        return _FIXED.pack(2, *fields, len(self.metadata)) + self.metadata

    def commit_id(self) -> bytes:
        """Returns the commit id."""
        return _hash_commit_id(self.encode())


def decode_record(encoded: bytes) -> CommitRecord:
    """Decodes a record."""
    length = len(encoded) - _FIXED.size
    malformed_unless(0 <= length <= _METADATA_BYTES_MAX, f"a commit record has 236 to 492 bytes, not {len(encoded)}")
    number, *fields, metadata_bytes = _FIXED.unpack_from(encoded)
    malformed_unless(number == 2, f"the commit record is of format {number}, not 2")
    malformed_unless(metadata_bytes == length, "the metadata of a commit record does not end where the record does")
    fields.append(bytes(encoded[_FIXED.size :]))
    return CommitRecord(*fields)


def carried_record(encoded: bytes) -> CommitRecord | None:
    """Decodes a record that a message may carry: no bytes stand for none."""
    return decode_record(encoded) if encoded else None
