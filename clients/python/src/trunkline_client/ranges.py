"""Mountain ranges (SPEC.md §3) and inclusion in them (§14.1)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .errors import refuse_unless
from .hashes import KeyedHash, keyed_hash, u64
from .wire import digests


@dataclass(frozen=True)
class RangeNames:
    """The names under which a range is hashed."""

    leaf: KeyedHash
    node: KeyedHash
    root: KeyedHash

    def digest(self, count: int, peaks: Sequence[bytes]) -> bytes:
        """Returns the digest of a list of so many items with these peaks."""
        return self.root(u64(count), *peaks)


HISTORY = RangeNames(keyed_hash("history leaf"), keyed_hash("history node"), keyed_hash("history root"))
OUTCOMES = RangeNames(keyed_hash("outcome leaf"), keyed_hash("outcome node"), keyed_hash("outcomes root"))


def heights_of(count: int) -> list[int]:
    """Returns the heights of the peaks over so many items, the largest first."""
    return [height for height in range(63, -1, -1) if count >> height & 1]


class Range:
    """The peaks of a list of items, to which more are appended."""

    def __init__(self, names: RangeNames, count: int = 0, peaks: Sequence[bytes] = ()) -> None:
        self._names = names
        self._peaks = list(zip(heights_of(count), peaks, strict=True))

    def append(self, item: bytes) -> None:
        """Appends one item."""
        self.push(0, self._names.leaf(item))

    def push(self, height: int, peak: bytes) -> None:
        """Appends a peak. As long as the two last peaks have equal height, they become one of the next."""
        while self._peaks and self._peaks[-1][0] == height:
            peak = self._names.node(self._peaks.pop()[1], peak)
            height += 1
        self._peaks.append((height, peak))

    def digest(self, count: int) -> bytes:
        return self._names.digest(count, [peak for _, peak in self._peaks])


def digest_of_all(names: RangeNames, items: Iterable[bytes]) -> bytes:
    """Returns the digest of a list of items."""
    whole, count = Range(names), 0
    for item in items:
        whole.append(item)
        count += 1
    return whole.digest(count)


@dataclass(frozen=True)
class Inclusion:
    """Shows that an item is in a list."""

    siblings: Sequence[bytes]
    peaks: Sequence[bytes]


def inclusion_of(siblings: bytes, peaks: bytes) -> Inclusion:
    """Reads siblings and peaks."""
    return Inclusion(digests(siblings, 63, "siblings"), digests(peaks, 64, "peaks"))


def included_in(names: RangeNames, count: int, index: int, item: bytes, shown: Inclusion) -> bytes:
    """Returns the digest of the list of so many items that has the item at the index (§14.1)."""
    refuse_unless(index < count, "Index")
    heights, left, place = heights_of(count), index, 0
    while left >= 1 << heights[place]:
        left -= 1 << heights[place]
        place += 1
    refuse_unless(len(shown.siblings) == heights[place], "SiblingCount")
    refuse_unless(len(shown.peaks) == len(heights) - 1, "PeakCount")
    digest = names.leaf(item)
    for k, sibling in enumerate(shown.siblings):
        digest = names.node(sibling, digest) if index >> k & 1 else names.node(digest, sibling)
    return names.digest(count, [*shown.peaks[:place], digest, *shown.peaks[place:]])
