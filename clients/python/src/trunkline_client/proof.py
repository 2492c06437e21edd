"""Proofs of keys and their wire form (SPEC.md §7 to §9)."""

from collections.abc import Sequence
from dataclasses import dataclass

from .errors import malformed_unless, refuse_unless
from .hashes import ZERO, pieces
from .params import SLOTS, TreeParams, params_of
from .record import CommitRecord, carried_record
from .wire import Field, Message, decode, only_one

PROOF_BYTES_MAX = 64 * 1024 * 1024
_ENTRIES_MAX = 65_536
_KEY_BYTES_MAX = 4096
_VALUE_BYTES_MAX = 16 * 1024 * 1024

ENTRY = {
    "key": Field(1, "bytes"),
    "value": Field(2, "bytes", chosen=True),
    "value_hash": Field(3, "bytes", chosen=True),
    "absent": Field(4, "message", chosen=True, schema={}),
}
TERMINAL = {
    "depth": Field(1, "uint32"),
    "empty": Field(2, "message", chosen=True, schema={}),
    "own_leaf": Field(3, "message", chosen=True, schema={}),
    "other_leaf": Field(4, "bytes", chosen=True),
    "bucket": Field(5, "bytes", chosen=True),
}
HASH_TOP = {"empty_siblings": Field(1, "bytes"), "siblings": Field(2, "bytes")}
VERSION_PROOF = {
    "version": Field(1, "uint64"),
    "record": Field(2, "bytes"),
    "entries": Field(3, "message", schema=ENTRY, bound=_ENTRIES_MAX),
    "terminals": Field(4, "message", schema=TERMINAL, bound=_ENTRIES_MAX),
    "empty_siblings": Field(5, "bytes"),
    "siblings": Field(6, "bytes"),
    "kzg_root": Field(7, "bytes", chosen=True),
    "hash": Field(8, "message", chosen=True, schema=HASH_TOP),
}
PROOF = {
    "format": Field(1, "uint32"),
    "salt": Field(2, "bytes"),
    "collision": Field(3, "uint32"),
    "versions": Field(4, "message", schema=VERSION_PROOF, bound=1024),
    "opening": Field(5, "bytes"),
    "nonce": Field(6, "bytes"),
}


@dataclass(frozen=True)
class Value:
    """The key is present with this value."""

    value: bytes


@dataclass(frozen=True)
class ValueHash:
    """The key is present with a value of this hash."""

    value_hash: bytes


@dataclass(frozen=True)
class Absent:
    """The key is absent."""


Claim = Value | ValueHash | Absent


@dataclass(frozen=True)
class Entry:
    """A key and what is claimed of it."""

    key: bytes
    claim: Claim


@dataclass(frozen=True)
class Terminal:
    """A subtree in which the paths of entries end.

    The kind is ``empty``, ``own_leaf``, ``other_leaf`` or ``bucket``; leaves are key hash and value hash.
    """

    depth: int
    kind: str
    leaves: Sequence[tuple[bytes, bytes]] = ()


@dataclass(frozen=True)
class Siblings:
    """A sequence of digests as it is written, with the empty ones as bits (§9.2). It is never expanded."""

    bitmap: bytes
    listed: bytes
    count: int

    def take(self) -> "SiblingsLeft":
        return SiblingsLeft(self)


class SiblingsLeft:
    """The digests that were not taken yet."""

    def __init__(self, siblings: Siblings) -> None:
        self._siblings = siblings
        self._taken = 0
        self._at = 0

    def next(self, missing: str) -> bytes:
        """Takes the next digest, and refuses by the rule if there is none."""
        refuse_unless(self._taken < self._siblings.count, missing)
        i, self._taken = self._taken, self._taken + 1
        if self._siblings.bitmap[i >> 3] >> (i & 7) & 1:
            return ZERO
        at, self._at = self._at, self._at + 32
        return self._siblings.listed[at : at + 32]

    def end(self, unused: str) -> None:
        """Refuses by the rule if a digest is left."""
        refuse_unless(self._taken == self._siblings.count, unused)


@dataclass(frozen=True)
class VersionProof:
    """The part of a proof that is about one version. Its top is a KZG root, or siblings above the slots."""

    version: int
    record: CommitRecord | None
    entries: Sequence[Entry]
    terminals: Sequence[Terminal]
    siblings: Siblings
    top: bytes | Siblings


@dataclass(frozen=True)
class Proof:
    """A proof of keys. That there is one shows nothing: ``verify_proof`` says whether it holds."""

    params: TreeParams
    versions: Sequence[VersionProof]
    opening: bytes


def decode_proof(encoded: bytes) -> Proof:
    """Decodes a proof. Raises MalformedError for everything that is not the one encoding of a proof."""
    message = decode(PROOF, encoded, PROOF_BYTES_MAX)
    params = params_of(message["nonce"], message["salt"], message["collision"])
    malformed_unless(len(message["versions"]) > 0, "a proof has at least one version")
    malformed_unless(len(message["opening"]) in (0, 48, 96), "an opening has 0, 48 or 96 bytes")
    return Proof(params, [_version(each) for each in message["versions"]], message["opening"])


def _version(message: Message) -> VersionProof:
    entries, terminals = message["entries"], message["terminals"]
    malformed_unless(len(entries) > 0, "a version has at least one entry")
    fits = 0 < len(terminals) <= len(entries)
    malformed_unless(fits, "a version has at least one terminal, and no more terminals than entries")
    return VersionProof(
        version=message["version"],
        record=carried_record(message["record"]),
        entries=[_entry(each) for each in entries],
        terminals=[_terminal(each) for each in terminals],
        siblings=_siblings(message, 49 * len(terminals)),
        top=_top(message, len(terminals)),
    )


def _top(message: Message, terminals: int) -> bytes | Siblings:
    only_one("a version has exactly one top", message["kzg_root"], message["hash"])
    if message["hash"] is not None:
        return _siblings(message["hash"], 7 * min(terminals, SLOTS))
    root: bytes = message["kzg_root"]
    malformed_unless(len(root) == 48, "a KZG root has 48 bytes")
    return root


def _siblings(message: Message, bound: int) -> Siblings:
    bitmap, listed = message["empty_siblings"], message["siblings"]
    malformed_unless(len(listed) % 32 == 0, "a list of siblings is no whole number of digests")
    bits = int.from_bytes(bitmap, "little")
    count = bits.bit_count() + len(listed) // 32
    malformed_unless(count <= bound, f"there are {count} siblings, more than the {bound} that fit")
    malformed_unless(len(bitmap) == (count + 7) // 8, "the bitmap of siblings has the wrong length")
    malformed_unless(bits >> count == 0, "the bitmap of siblings has bits behind its end")
    malformed_unless(ZERO not in pieces(listed, 32), "a listed sibling is empty")
    return Siblings(bitmap, listed, count)


def _entry(message: Message) -> Entry:
    key, value, value_hash = message["key"], message["value"], message["value_hash"]
    malformed_unless(len(key) <= _KEY_BYTES_MAX, f"a key has at most {_KEY_BYTES_MAX} bytes")
    only_one("an entry has exactly one claim", value, value_hash, message["absent"])
    if value_hash is not None:
        malformed_unless(len(value_hash) == 32, "a value hash has 32 bytes")
        return Entry(key, ValueHash(value_hash))
    if value is None:
        return Entry(key, Absent())
    malformed_unless(len(value) <= _VALUE_BYTES_MAX, f"a value has at most {_VALUE_BYTES_MAX} bytes")
    return Entry(key, Value(value))


def _terminal(message: Message) -> Terminal:
    depth, other_leaf, bucket = message["depth"], message["other_leaf"], message["bucket"]
    malformed_unless(7 <= depth <= 56, "a terminal has a depth of 7 to 56")
    only_one("a terminal has exactly one place", message["empty"], message["own_leaf"], other_leaf, bucket)
    if other_leaf is not None:
        malformed_unless(len(other_leaf) == 64, "a leaf has 64 bytes")
        return Terminal(depth, "other_leaf", _leaves(other_leaf))
    if bucket is not None:
        whole = len(bucket) % 64 == 0 and 2 <= len(bucket) // 64 <= 16
        malformed_unless(whole, "a bucket has 2 to 16 members")
        return Terminal(depth, "bucket", _leaves(bucket))
    return Terminal(depth, "empty" if message["empty"] is not None else "own_leaf")


def _leaves(content: bytes) -> list[tuple[bytes, bytes]]:
    return [(leaf[:32], leaf[32:]) for leaf in pieces(content, 64)]
