// The errors, as classes with a code.

/** The rules of SPEC.md §10, by which a proof of keys is refused. */
export type ProofRule =
  | "VersionOrder"
  | "EntryOrder"
  | "TerminalUnused"
  | "TerminalMissing"
  | "TerminalOverlap"
  | "EmptyWithPresent"
  | "OwnLeafPresent"
  | "OtherLeafWithPresent"
  | "OtherLeafIsEntry"
  | "OtherLeafOutside"
  | "BucketPolicy"
  | "BucketDepth"
  | "BucketOrder"
  | "BucketMemberOutside"
  | "BucketWithoutPresent"
  | "BucketWithAbsent"
  | "BucketValue"
  | "SiblingMissing"
  | "SiblingUnused"
  | "LeafSiblingEmpty"
  | "TopSiblingMissing"
  | "TopSiblingUnused"
  | "RecordTree"
  | "RecordVersion"
  | "RecordState"
  | "ExpectedCount"
  | "ExpectedTree"
  | "ExpectedVersion"
  | "ExpectedCommit"
  | "ExpectedState"
  | "ExpectedKzgRoot"
  | "NeedsRecord"
  | "NeedsHashTop"
  | "NeedsKzgTop"
  | "OpeningKind"
  | "Opening";

/** The rules of an inclusion in a mountain range, §14.1. */
export type InclusionRule = "Index" | "SiblingCount" | "PeakCount" | "Digest";

/** The rules of §14.2. */
export type AncestorRule = InclusionRule | "HeadCommit" | "NotOlder" | "Parent";

/** The rules of §14.3. */
export type ConsistencyRule =
  | "NeedsOlder"
  | "OlderCommit"
  | "OtherOlder"
  | "HeadCommit"
  | "Tree"
  | "NotOlder"
  | "PeakCount"
  | "OlderHistory"
  | "NodeCount"
  | "HeadHistory"
  | "Parent";

/** The rules of §15.1. */
export type EvidenceRule = InclusionRule | "Commit" | "Sequence" | "ProvisionalRoot" | "LaterCount" | "Chain";

/** The rules of §16.2. */
export type AuditRule =
  | "RecordTree"
  | "RecordVersion"
  | "RecordState"
  | "TrustedTree"
  | "TrustedVersion"
  | "TrustedCommit"
  | "TrustedState"
  | "TrustedKzgRoot"
  | "NeedsRecord"
  | "PointOnDomain"
  | "KzgRootPoint"
  | "OpeningPoint"
  | "Opening";

/** The rules by which two proofs are not combined, §10.5. */
export type MoveRule = "OneVersion" | "OtherTree" | "NotLater" | "Contradiction";

/** The rules of §24.1, by which a frame or a beginning is refused. */
export type SignatureRule = "NoKey" | "OtherKey";

export type Rule = ProofRule | AncestorRule | ConsistencyRule | EvidenceRule | AuditRule | MoveRule | SignatureRule;

const MEANING: Readonly<Record<Rule, string>> = {
  VersionOrder: "the versions do not ascend",
  EntryOrder: "the entries do not ascend by key hash",
  TerminalUnused: "a terminal has no entry",
  TerminalMissing: "an entry has no terminal",
  TerminalOverlap: "a terminal is above the one before it",
  EmptyWithPresent: "an empty place has an entry that is present",
  OwnLeafPresent: "the place of one own leaf does not have exactly one entry that is present",
  OtherLeafWithPresent: "the place of another leaf has an entry that is present",
  OtherLeafIsEntry: "another leaf is that of an entry",
  OtherLeafOutside: "another leaf is not below its place",
  BucketPolicy: "the tree's policy has no buckets",
  BucketDepth: "a bucket is not at depth 56",
  BucketOrder: "the members of a bucket do not ascend by key hash",
  BucketMemberOutside: "a member of a bucket is not below its place",
  BucketWithoutPresent: "an entry is present that its bucket does not have",
  BucketWithAbsent: "an entry is absent that its bucket has",
  BucketValue: "an entry has another value than in its bucket",
  SiblingMissing: "a sibling is missing",
  SiblingUnused: "there are more siblings than places for them",
  LeafSiblingEmpty: "a lone leaf stands deeper than it may",
  TopSiblingMissing: "a sibling above the slots is missing",
  TopSiblingUnused: "there are more siblings above the slots than places for them",
  RecordTree: "the carried record is of another tree",
  RecordVersion: "the carried record is of another version",
  RecordState: "the carried record has another state digest",
  ExpectedCount: "give one trusted thing for each version of the proof",
  ExpectedTree: "it is of another tree than the trusted one",
  ExpectedVersion: "it is of another version than the trusted one",
  ExpectedCommit: "its record does not have the trusted commit id",
  ExpectedState: "it does not lead to the trusted state digest",
  ExpectedKzgRoot: "it is not about the trusted KZG root",
  NeedsRecord: "it has no record, which a trusted commit id needs: ask for a proof with its record",
  NeedsHashTop: "what is trusted has no KZG root: ask for a proof with a hash top",
  NeedsKzgTop: "a KZG root alone is trusted: ask for a proof with a KZG top",
  OpeningKind: "it has another opening than its slots need",
  Opening: "its opening does not hold",
  Index: "the item is beyond the end of the list",
  SiblingCount: "there are more or fewer siblings than the path has",
  PeakCount: "there are more or fewer peaks than the list has",
  Digest: "it does not lead to the digest in the record",
  HeadCommit: "the head does not have the trusted commit id",
  NotOlder: "it is not about an older version",
  Parent: "the head names another parent than its history has",
  NeedsOlder: "it has no record of the older head: add the one that you hold",
  OlderCommit: "the older head does not have the trusted commit id",
  OtherOlder: "the record of the older head that was added is not the carried one",
  Tree: "the two heads are of different trees",
  OlderHistory: "the peaks are not those of the older head's history",
  NodeCount: "there are more or fewer nodes than lie between the heads",
  HeadHistory: "it does not lead to the history digest of the head",
  Commit: "the record does not have the trusted commit id",
  Sequence: "the submission is not of the record's version",
  ProvisionalRoot: "the submission does not have the trusted provisional root",
  LaterCount: "there are more or fewer later submissions than the version has",
  Chain: "the later submissions do not lead to the record's provisional root",
  TrustedTree: "it is of another tree than the trusted one",
  TrustedVersion: "it is of another version than the trusted one",
  TrustedCommit: "its record does not have the trusted commit id",
  TrustedState: "it does not have the trusted state digest",
  TrustedKzgRoot: "it does not have the trusted KZG root",
  PointOnDomain: "its audit point is that of a slot",
  KzgRootPoint: "its KZG root is no canonical point",
  OpeningPoint: "its opening is no canonical point",
  OneVersion: "both proofs must have one version and a hash top",
  OtherTree: "the two proofs are of different trees",
  NotLater: "the change is not of a later version",
  Contradiction: "the two proofs contradict each other",
  NoKey: "no key is pinned",
  OtherKey: "none of the pinned keys signed it",
};

/** The errors of this package: `code` says what went wrong, and does not change. */
export abstract class TrunklineError extends Error {
  abstract readonly code: string;
}

/** Bytes that are no proof, record or evidence of format 2 (SPEC.md §4, §8, §9). Nothing is shown by them. */
export class MalformedError extends TrunklineError {
  override readonly name = "MalformedError";
  readonly code = "malformed";

  constructor(reason: string) {
    super(`malformed: ${reason}`);
  }
}

/**
 * A proof that is refused by a rule of SPEC.md, whose name is the code. It shows nothing: neither what it claims nor
 * the contrary.
 */
export class RefusedError<R extends Rule = Rule> extends TrunklineError {
  override readonly name = "RefusedError";

  constructor(readonly code: R) {
    super(`refused (${code}): ${MEANING[code]}`);
  }
}

/** The reasons why something is no public key. */
export type KeyFault = "Text" | "Point" | "NotCanonical" | "Order";

const FAULT: Readonly<Record<KeyFault, string>> = {
  Text: "a public key is 32 bytes, or is written as 64 hexadecimal digits",
  Point: "the bytes are not a point of the curve; copy the public key again",
  NotCanonical: "the bytes are not the canonical form of a point; copy the public key again",
  Order: "the point has a part of small order, so it is no key that a signer generated; do not pin it",
};

/** A text or bytes that should be pinned, and are no public key. */
export class KeyError extends TrunklineError {
  override readonly name = "KeyError";

  constructor(readonly code: KeyFault) {
    super(FAULT[code]);
  }
}

/** A value that is no argument of the function: a digest of the wrong length, for example. */
export class ArgumentError extends TrunklineError {
  override readonly name = "ArgumentError";
  readonly code = "argument";
}

/** Refuses by a rule unless it is kept. */
export function refuseUnless<R extends Rule>(kept: boolean, rule: R): asserts kept {
  if (!kept) throw new RefusedError(rule);
}
