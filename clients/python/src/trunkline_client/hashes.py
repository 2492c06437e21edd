"""The hashes and byte strings of SPEC.md §1."""

from collections.abc import Callable

from blake3 import blake3

ZERO = bytes(32)
"""32 zero bytes: nothing."""

KeyedHash = Callable[..., bytes]


def plain(data: bytes) -> bytes:
    """Returns BLAKE3 of the bytes."""
    return blake3(data).digest()


def derived_key(context: str, material: bytes) -> bytes:
    return blake3(material, derive_key_context=context).digest()


def key_of(name: str) -> bytes:
    """Returns the key of ``H_name``."""
    return derived_key(f"trunkline v1 {name}", b"")


def keyed(key: bytes) -> KeyedHash:
    """Returns the keyed hash over parts, joined."""
    return lambda *parts: blake3(b"".join(parts), key=key).digest()


def keyed_hash(name: str) -> KeyedHash:
    """Returns ``H_name``."""
    return keyed(key_of(name))


hash_leaf = keyed_hash("leaf")
hash_inner = keyed_hash("inner")
hash_bucket = keyed_hash("bucket")


def u8(value: int) -> bytes:
    return value.to_bytes(1, "little")


def u16(value: int) -> bytes:
    return value.to_bytes(2, "little")


def u64(value: int) -> bytes:
    return value.to_bytes(8, "little")


def prefix(key_hash: bytes, bits: int) -> int:
    """Returns the first bits of a byte string, of which the most significant comes first."""
    return int.from_bytes(key_hash[:8], "big") >> (64 - bits)


def bit(key_hash: bytes, index: int) -> int:
    return prefix(key_hash, index + 1) & 1


def scalar_of(digest: bytes) -> int:
    """Reads a digest as a big-endian integer with its two most significant bits cleared."""
    return int.from_bytes(digest, "big") & ((1 << 254) - 1)


def pieces(data: bytes, size: int) -> list[bytes]:
    """Cuts bytes into pieces of one size. The caller has checked that the length is a multiple of it."""
    return [data[at : at + size] for at in range(0, len(data), size)]
