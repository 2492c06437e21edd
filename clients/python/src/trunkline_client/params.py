"""The parameters of a tree, and its setup (SPEC.md §2)."""

from collections.abc import Callable
from dataclasses import dataclass

from .errors import malformed_unless
from .hashes import ZERO, derived_key, key_of, keyed, keyed_hash, plain, prefix, u8, u16

SLOTS = 128
SLOT_BITS = 7
PATH_BITS = 56

POLICIES = ("bucket", "overwrite", "reject")

SETUP_ID = bytes.fromhex("201eccd8ba10d3700d0e32d1b255e11f3a95a8f592326aaa5e6a0a5fe6508870")
"""H of all points of the Ethereum KZG ceremony (§2.7)."""

TAU_G2 = bytes.fromhex(
    "b5bfd7dd8cdeb128843bc287230af38926187075cbfbefa81009a2ce615ac53d"
    "2914e5870cb452d2afaaab24f3499f72185cbfee53492714734429b7b38608e2"
    "3926c911cceceac9a36851477ba4c60b087041de621000edc98edada20c1def2"
)


@dataclass(frozen=True)
class TreeParams:
    """The parameters that never change, and determine the tree id."""

    nonce: bytes
    salt: bytes | None
    collision: str
    """One of ``bucket``, ``overwrite`` and ``reject``."""

    def tree_id(self) -> bytes:
        """Returns the id of the tree (§2.8)."""
        return _hash_tree_id(
            u16(2),
            u16(SLOTS),
            u8(8),
            u8(PATH_BITS),
            self.nonce,
            u8(0 if self.salt is None else 1),
            self.salt or ZERO,
            u8(POLICIES.index(self.collision)),
            u8(16),
            key_of("leaf"),
            key_of("inner"),
            key_of("bucket"),
            SETUP_ID,
        )

    def key_hasher(self) -> Callable[[bytes], bytes]:
        """Returns the function from keys to key hashes (§2.1)."""
        return plain if self.salt is None else keyed(derived_key("trunkline v2 path key", self.salt))


_hash_tree_id = keyed_hash("tree id")


def params_of(nonce: bytes, salt: bytes, collision: int) -> TreeParams:
    """Returns the parameters of the fields of a message."""
    malformed_unless(len(nonce) == 16, "the nonce does not have 16 bytes")
    malformed_unless(len(salt) in (0, 32), "the salt does not have 32 bytes")
    malformed_unless(collision < len(POLICIES), f"{collision} is no collision policy")
    return TreeParams(nonce, salt or None, POLICIES[collision])


def slot_of(key_hash: bytes) -> int:
    """Returns the slot of a key hash: its first 7 bits."""
    return prefix(key_hash, SLOT_BITS)
