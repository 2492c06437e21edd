"""The errors, as classes with a code."""

from typing import NoReturn

_MEANING = {
    # SPEC.md §10
    "VersionOrder": "the versions do not ascend",
    "EntryOrder": "the entries do not ascend by key hash",
    "TerminalUnused": "a terminal has no entry",
    "TerminalMissing": "an entry has no terminal",
    "TerminalOverlap": "a terminal is above the one before it",
    "EmptyWithPresent": "an empty place has an entry that is present",
    "OwnLeafPresent": "the place of one own leaf does not have exactly one entry that is present",
    "OtherLeafWithPresent": "the place of another leaf has an entry that is present",
    "OtherLeafIsEntry": "another leaf is that of an entry",
    "OtherLeafOutside": "another leaf is not below its place",
    "BucketPolicy": "the tree's policy has no buckets",
    "BucketDepth": "a bucket is not at depth 56",
    "BucketOrder": "the members of a bucket do not ascend by key hash",
    "BucketMemberOutside": "a member of a bucket is not below its place",
    "BucketWithoutPresent": "an entry is present that its bucket does not have",
    "BucketWithAbsent": "an entry is absent that its bucket has",
    "BucketValue": "an entry has another value than in its bucket",
    "SiblingMissing": "a sibling is missing",
    "SiblingUnused": "there are more siblings than places for them",
    "LeafSiblingEmpty": "a lone leaf stands deeper than it may",
    "TopSiblingMissing": "a sibling above the slots is missing",
    "TopSiblingUnused": "there are more siblings above the slots than places for them",
    "RecordTree": "the carried record is of another tree",
    "RecordVersion": "the carried record is of another version",
    "RecordState": "the carried record has another state digest",
    "ExpectedCount": "give one trusted thing for each version of the proof",
    "ExpectedTree": "it is of another tree than the trusted one",
    "ExpectedVersion": "it is of another version than the trusted one",
    "ExpectedCommit": "its record does not have the trusted commit id",
    "ExpectedState": "it does not lead to the trusted state digest",
    "ExpectedKzgRoot": "it is not about the trusted KZG root",
    "NeedsRecord": "it has no record, which a trusted commit id needs: ask for a proof with its record",
    "NeedsHashTop": "what is trusted has no KZG root: ask for a proof with a hash top",
    "NeedsKzgTop": "a KZG root alone is trusted: ask for a proof with a KZG top",
    "OpeningKind": "it has another opening than its slots need",
    "Opening": "its opening does not hold",
    # SPEC.md §14
    "Index": "the item is beyond the end of the list",
    "SiblingCount": "there are more or fewer siblings than the path has",
    "PeakCount": "there are more or fewer peaks than the list has",
    "Digest": "it does not lead to the digest in the record",
    "HeadCommit": "the head does not have the trusted commit id",
    "NotOlder": "it is not about an older version",
    "Parent": "the head names another parent than its history has",
    "NeedsOlder": "it has no record of the older head: add the one that you hold",
    "OlderCommit": "the older head does not have the trusted commit id",
    "OtherOlder": "the record of the older head that was added is not the carried one",
    "Tree": "the two heads are of different trees",
    "OlderHistory": "the peaks are not those of the older head's history",
    "NodeCount": "there are more or fewer nodes than lie between the heads",
    "HeadHistory": "it does not lead to the history digest of the head",
    # SPEC.md §15
    "Commit": "the record does not have the trusted commit id",
    "Sequence": "the submission is not of the record's version",
    "ProvisionalRoot": "the submission does not have the trusted provisional root",
    "LaterCount": "there are more or fewer later submissions than the version has",
    "Chain": "the later submissions do not lead to the record's provisional root",
    # SPEC.md §16
    "TrustedTree": "it is of another tree than the trusted one",
    "TrustedVersion": "it is of another version than the trusted one",
    "TrustedCommit": "its record does not have the trusted commit id",
    "TrustedState": "it does not have the trusted state digest",
    "TrustedKzgRoot": "it does not have the trusted KZG root",
    "PointOnDomain": "its audit point is that of a slot",
    "KzgRootPoint": "its KZG root is no canonical point",
    "OpeningPoint": "its opening is no canonical point",
}


class TrunklineError(Exception):
    """The errors of this package: ``code`` says what went wrong, and does not change."""

    code: str


class MalformedError(TrunklineError):
    """Bytes that are no proof, record or evidence of format 2 (SPEC.md §4, §8, §9). Nothing is shown by them."""

    code = "malformed"

    def __init__(self, reason: str) -> None:
        super().__init__(f"malformed: {reason}")


class RefusedError(TrunklineError):
    """A proof that is refused by a rule of SPEC.md, whose name is the code.

    It shows nothing: neither what it claims nor the contrary.
    """

    def __init__(self, code: str) -> None:
        super().__init__(f"refused ({code}): {_MEANING[code]}")
        self.code = code


class ArgumentError(TrunklineError):
    """A value that is no argument of the function: a digest of the wrong length, for example."""

    code = "argument"


def refuse(rule: str) -> NoReturn:
    """Refuses by a rule."""
    raise RefusedError(rule)


def refuse_unless(kept: bool, rule: str) -> None:
    """Refuses by a rule unless it is kept."""
    if not kept:
        refuse(rule)


def malformed_unless(kept: bool, otherwise: str) -> None:
    """Refuses the bytes unless a condition holds."""
    if not kept:
        raise MalformedError(otherwise)
