"""The things that a client trusts already, from another source than the proof (SPEC.md "Trust", §5, §10.3).

There is no form of a state digest or a KZG root without a tree id: who makes the proof could choose another salt, and
show a present key as absent.
"""

from dataclasses import dataclass

from .errors import ArgumentError


def check_bytes(value: bytes, length: int, name: str) -> None:
    """Refuses an argument that is not so many bytes."""
    if not isinstance(value, bytes) or len(value) != length:
        raise ArgumentError(f"{name} must be {length} bytes")


@dataclass(frozen=True)
class Root:
    """A root with all its parts. Binds the tree, the version, the state and a carried record."""

    tree_id: bytes
    version: int
    commit_id: bytes
    state_digest: bytes
    kzg_root: bytes | None

    def __post_init__(self) -> None:
        check_bytes(self.tree_id, 32, "the trusted tree id")
        check_bytes(self.commit_id, 32, "the trusted commit id")
        check_bytes(self.state_digest, 32, "the trusted state digest")
        if self.kzg_root is not None:
            check_bytes(self.kzg_root, 48, "the trusted KZG root, if it is not None,")
        if not isinstance(self.version, int):
            raise ArgumentError("the trusted version must be an int")


@dataclass(frozen=True)
class CommitId:
    """A commit id. Binds the same; takes a proof with a hash top and its record."""

    commit_id: bytes

    def __post_init__(self) -> None:
        check_bytes(self.commit_id, 32, "the trusted commit id")


@dataclass(frozen=True)
class StateDigest:
    """A tree id and a state digest. Binds the tree and the state, and no version; takes a hash top."""

    tree_id: bytes
    state_digest: bytes

    def __post_init__(self) -> None:
        check_bytes(self.tree_id, 32, "the trusted tree id")
        check_bytes(self.state_digest, 32, "the trusted state digest")


@dataclass(frozen=True)
class KzgRoot:
    """A tree id and a KZG root. Binds the tree and the state, and no version; takes a KZG top."""

    tree_id: bytes
    kzg_root: bytes

    def __post_init__(self) -> None:
        check_bytes(self.tree_id, 32, "the trusted tree id")
        check_bytes(self.kzg_root, 48, "the trusted KZG root")


@dataclass(frozen=True)
class Nothing:
    """Nothing is trusted. Not among what callers may trust: it binds nothing."""


Trusted = Root | CommitId | StateDigest | KzgRoot


def check_trusted(trusted: Trusted) -> None:
    """Refuses what is none of the forms."""
    if not isinstance(trusted, Trusted):
        raise ArgumentError("what is trusted is a Root, a CommitId, a StateDigest or a KzgRoot")
