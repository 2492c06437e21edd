"""Verification of proofs of keys (SPEC.md §10)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise

from .errors import ArgumentError, refuse, refuse_unless
from .hashes import ZERO, bit, hash_bucket, hash_inner, hash_leaf, plain, prefix, scalar_of, u8
from .kzg import POINTS, Equation, Opened, aggregate_of, opening_of, point_of
from .params import PATH_BITS, SLOT_BITS, TreeParams, slot_of
from .proof import Absent, Claim, Entry, Proof, Siblings, SiblingsLeft, Terminal, Value, VersionProof
from .record import CommitRecord
from .trusted import CommitId, KzgRoot, Nothing, Root, StateDigest, Trusted, check_trusted


@dataclass(frozen=True)
class Proven:
    """The result for one version of a proof, given what was trusted. What is not bound is None."""

    bound_to: type[Trusted]
    tree_id: bytes
    version: int | None
    commit_id: bytes | None
    state_digest: bytes | None
    kzg_root: bytes | None
    record: CommitRecord | None
    entries: Sequence[Entry]
    _claims: dict[bytes, Claim] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_claims", {entry.key: entry.claim for entry in self.entries})

    def claim(self, key: str | bytes) -> Claim | None:
        """Returns what is proven of a key. None: the proof says nothing of it, so it is unknown, not absent."""
        return self._claims.get(key.encode() if isinstance(key, str) else key)


@dataclass(frozen=True)
class Unproven:
    """The claims of a proof about one version, with nothing trusted. Nothing of this is proven."""

    claimed_tree_id: bytes
    claimed_version: int
    claimed_entries: Sequence[Entry]


def verify_proof(proof: Proof, trusted: Trusted) -> Proven:
    """Verifies a proof of one version against what you trust. Raises RefusedError if it does not hold."""
    return verify_versions(proof, [trusted])[0]


def verify_versions(proof: Proof, trusted: Sequence[Trusted]) -> list[Proven]:
    """Verifies a proof of several versions, with one trusted thing for each of them."""
    for each in trusted:
        check_trusted(each)
    return [shown for shown in verify_each(proof, trusted) if isinstance(shown, Proven)]


def check_proof(proof: Proof) -> list[Unproven]:
    """Checks that a proof agrees with itself. Trusts nothing and so proves nothing."""
    shown = verify_each(proof, [Nothing()] * len(proof.versions))
    return [each for each in shown if isinstance(each, Unproven)]


def verify_each(proof: Proof, trusted: Sequence[Trusted | Nothing]) -> list[Proven | Unproven]:
    """Verifies a proof of which parts may be held against nothing."""
    if not isinstance(proof, Proof):
        raise ArgumentError("give a proof as decode_proof returns it")
    refuse_unless(len(trusted) == len(proof.versions), "ExpectedCount")
    ascending = all(older.version < newer.version for older, newer in pairwise(proof.versions))
    refuse_unless(ascending, "VersionOrder")
    tree_id = proof.params.tree_id()
    opened: list[Opened] = []
    shown = []
    for version, each in zip(proof.versions, trusted, strict=True):
        slots = slots_of(version, proof.params)
        if isinstance(version.top, bytes):
            values = [(slot, scalar_of(digest)) for slot, digest in slots]
            opened.append(Opened(version.version, version.top, values))
        shown.append(_hold(version, tree_id, _state_of(version, slots), each))
    _check_opening(opened, proof.opening)
    return shown


# §10.1


@dataclass(frozen=True)
class _End:
    """A terminal with its entries. The first bits of ``below`` are its prefix."""

    below: bytes
    terminal: Terminal
    entries: Sequence[tuple[bytes, Claim]]
    digest: bytes

    @property
    def is_leaf(self) -> bool:
        return self.terminal.kind in ("own_leaf", "other_leaf")


def slots_of(version: VersionProof, params: TreeParams) -> list[tuple[int, bytes]]:
    """Returns the slots that the entries of a version use, ascending, with their digests."""
    siblings = version.siblings.take()
    runs = groupby(_ends_of(version, params), key=lambda end: slot_of(end.below))
    slots = [(slot, _subtree(SLOT_BITS, list(run), siblings)) for slot, run in runs]
    siblings.end("SiblingUnused")
    return slots


def _ends_of(version: VersionProof, params: TreeParams) -> list[_End]:
    key_hash = params.key_hasher()
    entries = [(key_hash(entry.key), entry.claim) for entry in version.entries]
    refuse_unless(all(a[0] < b[0] for a, b in pairwise(entries)), "EntryOrder")
    ends: list[_End] = []
    first = 0
    for terminal in version.terminals:
        refuse_unless(first < len(entries), "TerminalUnused")
        below, depth = entries[first][0], terminal.depth
        if ends and depth <= ends[-1].terminal.depth:
            refuse_unless(prefix(ends[-1].below, depth) != prefix(below, depth), "TerminalOverlap")
        last = first
        while last < len(entries) and prefix(entries[last][0], depth) == prefix(below, depth):
            last += 1
        own = entries[first:last]
        ends.append(_End(below, terminal, own, _digest_of(below, terminal, own, params)))
        first = last
    refuse_unless(first == len(entries), "TerminalMissing")
    return ends


def _claimed_hash(claim: Claim) -> bytes | None:
    if isinstance(claim, Absent):
        return None
    return plain(claim.value) if isinstance(claim, Value) else claim.value_hash


def _digest_of(below: bytes, terminal: Terminal, entries: Sequence[tuple[bytes, Claim]], params: TreeParams) -> bytes:
    present = [(key_hash, claim) for key_hash, claim in entries if not isinstance(claim, Absent)]
    match terminal.kind:
        case "empty":
            refuse_unless(not present, "EmptyWithPresent")
            return ZERO
        case "own_leaf":
            refuse_unless(len(present) == 1, "OwnLeafPresent")
            [(key_hash, claim)] = present
            return hash_leaf(key_hash, _claimed_hash(claim))
        case "other_leaf":
            refuse_unless(not present, "OtherLeafWithPresent")
            [(key_hash, value_hash)] = terminal.leaves
            refuse_unless(all(key_hash != own for own, _ in entries), "OtherLeafIsEntry")
            refuse_unless(prefix(key_hash, terminal.depth) == prefix(below, terminal.depth), "OtherLeafOutside")
            return hash_leaf(key_hash, value_hash)
        case _:
            refuse_unless(params.collision == "bucket", "BucketPolicy")
            refuse_unless(terminal.depth == PATH_BITS, "BucketDepth")
            return _bucket_digest(below, terminal.leaves, entries)


def _bucket_digest(
    below: bytes, members: Sequence[tuple[bytes, bytes]], entries: Sequence[tuple[bytes, Claim]]
) -> bytes:
    refuse_unless(all(a[0] < b[0] for a, b in pairwise(members)), "BucketOrder")
    for key_hash, _ in members:
        refuse_unless(prefix(key_hash, PATH_BITS) == prefix(below, PATH_BITS), "BucketMemberOutside")
    values = dict(members)
    for key_hash, claim in entries:
        claimed = _claimed_hash(claim)
        if key_hash not in values:
            refuse_unless(claimed is None, "BucketWithoutPresent")
        else:
            refuse_unless(claimed is not None, "BucketWithAbsent")
            refuse_unless(claimed == values[key_hash], "BucketValue")
    return hash_bucket(u8(len(members)), *(part for member in members for part in member))


def _subtree(depth: int, ends: Sequence[_End], siblings: SiblingsLeft) -> bytes:
    if not ends:
        return siblings.next("SiblingMissing")
    if len(ends) == 1 and ends[0].terminal.depth == depth:
        return ends[0].digest
    halves = [[end for end in ends if bit(end.below, depth) == side] for side in (0, 1)]
    left, right = (_subtree(depth + 1, half, siblings) for half in halves)
    for half, other in zip(halves, (right, left), strict=True):
        is_lone_leaf = len(half) == 1 and half[0].is_leaf and half[0].terminal.depth == depth + 1
        refuse_unless(not (is_lone_leaf and other == ZERO), "LeafSiblingEmpty")
    return hash_inner(left, right)


# §10.2


def top_node(left: bytes, right: bytes) -> bytes:
    """Returns the digest of a node above the slots (§2.5)."""
    return ZERO if left == right == ZERO else hash_inner(left, right)


def _state_of(version: VersionProof, slots: Sequence[tuple[int, bytes]]) -> bytes | None:
    if not isinstance(version.top, Siblings):
        return None
    siblings = version.top.take()
    state = _fold_top(0, slots, siblings)
    siblings.end("TopSiblingUnused")
    return state


def _fold_top(depth: int, slots: Sequence[tuple[int, bytes]], siblings: SiblingsLeft) -> bytes:
    if not slots:
        return siblings.next("TopSiblingMissing")
    if depth == SLOT_BITS:
        return slots[0][1]
    halves = [[each for each in slots if each[0] >> (6 - depth) & 1 == side] for side in (0, 1)]
    left, right = (_fold_top(depth + 1, half, siblings) for half in halves)
    return top_node(left, right)


# §10.3


def _hold(version: VersionProof, tree_id: bytes, state: bytes | None, trusted: Trusted | Nothing) -> Proven | Unproven:
    record, number, entries = version.record, version.version, version.entries
    if record is not None:
        refuse_unless(record.tree_id == tree_id, "RecordTree")
        refuse_unless(record.version == number, "RecordVersion")
        refuse_unless(state is None or record.state_digest == state, "RecordState")
    commit_id = None if record is None else record.commit_id()
    root = version.top if isinstance(version.top, bytes) else None
    match trusted:
        case Root():
            refuse_unless(trusted.tree_id == tree_id, "ExpectedTree")
            refuse_unless(trusted.version == number, "ExpectedVersion")
            refuse_unless(commit_id in (None, trusted.commit_id), "ExpectedCommit")
            refuse_unless(root is None or trusted.kzg_root is not None, "NeedsHashTop")
            refuse_unless(state in (None, trusted.state_digest), "ExpectedState")
            refuse_unless(root in (None, trusted.kzg_root), "ExpectedKzgRoot")
            known = (number, trusted.commit_id, trusted.state_digest, trusted.kzg_root, record)
            return Proven(Root, tree_id, *known, entries)
        case CommitId():
            refuse_unless(record is not None, "NeedsRecord")
            refuse_unless(state is not None, "NeedsHashTop")
            refuse_unless(trusted.commit_id == commit_id, "ExpectedCommit")
            return Proven(CommitId, tree_id, number, commit_id, state, None, record, entries)
        case StateDigest():
            refuse_unless(state is not None, "NeedsHashTop")
            refuse_unless(trusted.tree_id == tree_id, "ExpectedTree")
            refuse_unless(trusted.state_digest == state, "ExpectedState")
            return Proven(StateDigest, tree_id, None, None, state, None, None, entries)
        case KzgRoot():
            refuse_unless(root is not None, "NeedsKzgTop")
            refuse_unless(trusted.tree_id == tree_id, "ExpectedTree")
            refuse_unless(trusted.kzg_root == root, "ExpectedKzgRoot")
            return Proven(KzgRoot, tree_id, None, None, None, root, None, entries)
        case Nothing():
            return Unproven(tree_id, number, entries)


# §10.4


def _check_opening(opened: Sequence[Opened], opening: bytes) -> None:
    slots = sum(len(each.slots) for each in opened)
    refuse_unless(len(opening) == 48 * min(slots, 2), "OpeningKind")
    if slots == 0:
        return
    equation = _single(opened[0], opening) if slots == 1 else aggregate_of(opened, opening)
    if equation is None or not equation.holds():
        refuse("Opening")


def _single(opened: Opened, opening: bytes) -> Equation | None:
    commitment, proof = point_of(opened.kzg_root), point_of(opening)
    [(slot, value)] = opened.slots
    return None if commitment is None or proof is None else opening_of(commitment, POINTS[slot], value, proof)
