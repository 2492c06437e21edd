//! The JSON forms of requests and replies.
//!
//! Keys and values are text if they are UTF-8, and otherwise have a field in hex: `key` or `key_hex`, `value` or
//! `value_hex`, as in the lines that `trunkline import` reads. Digests, roots and proofs are hex.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{Code, ServiceError};
use crate::proto::{self, operation, requirement};

fn invalid(message: impl Into<String>) -> ServiceError {
    ServiceError::new(Code::InvalidRequest, message)
}

/// Returns the bytes of a field, of which exactly one form, text or hex, is given.
fn either(name: &str, text: Option<String>, hex: Option<String>) -> Result<Bytes, ServiceError> {
    match (text, hex) {
        (Some(text), None) => Ok(text.into()),
        (None, Some(digits)) => from_hex(name, &digits),
        _ => Err(invalid(format!("give {name} or {name}_hex"))),
    }
}

pub(super) fn from_hex(name: &str, digits: &str) -> Result<Bytes, ServiceError> {
    let bytes = hex::decode(digits);
    bytes
        .map(Bytes::from)
        .map_err(|error| invalid(format!("{name}_hex: {error}")))
}

/// Returns bytes as text, or in hex if they are not UTF-8.
fn shown(bytes: &[u8]) -> (Option<String>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(hex::encode(bytes))),
    }
}

fn hex_or_none(bytes: &[u8]) -> Option<String> {
    (!bytes.is_empty()).then(|| hex::encode(bytes))
}

/// A key, as `key` (text) or `key_hex`.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Key {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_hex: Option<String>,
}

impl Key {
    fn of(bytes: &[u8]) -> Self {
        let (key, key_hex) = shown(bytes);
        Self { key, key_hex }
    }

    fn bytes(self) -> Result<Bytes, ServiceError> {
        either("key", self.key, self.key_hex)
    }
}

/// One operation of a batch. Without a value it removes the key, and must say so: `"delete": true`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Operation {
    key: Option<String>,
    key_hex: Option<String>,
    value: Option<String>,
    value_hex: Option<String>,
    #[serde(default)]
    delete: bool,
}

impl Operation {
    fn message(self) -> Result<proto::Operation, ServiceError> {
        let key = either("key", self.key, self.key_hex)?;
        let kind = match (self.delete, &self.value, &self.value_hex) {
            (true, None, None) => operation::Kind::Delete(key),
            (true, ..) => return Err(invalid("a delete has no value")),
            (false, ..) => operation::Kind::Put(proto::Put {
                key,
                value: either("value", self.value, self.value_hex)?,
            }),
        };
        Ok(proto::Operation { kind: Some(kind) })
    }
}

/// A condition on the state before the batch: `"absent": true`, a value, or the BLAKE3 hash of one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Requirement {
    key: Option<String>,
    key_hex: Option<String>,
    #[serde(default)]
    absent: bool,
    value: Option<String>,
    value_hex: Option<String>,
    value_hash_hex: Option<String>,
}

impl Requirement {
    fn message(self) -> Result<proto::Requirement, ServiceError> {
        let key = either("key", self.key, self.key_hex)?;
        let has_value = self.value.is_some() || self.value_hex.is_some();
        let kind = match (self.absent, has_value, self.value_hash_hex) {
            (true, false, None) => requirement::Kind::Absent(proto::Absent {}),
            (false, true, None) => {
                requirement::Kind::Value(either("value", self.value, self.value_hex)?)
            }
            (false, false, Some(hash)) => {
                requirement::Kind::ValueHash(from_hex("value_hash", &hash)?)
            }
            _ => return Err(invalid("a requirement has absent, value or value_hash_hex")),
        };
        let kind = Some(kind);
        Ok(proto::Requirement { key, kind })
    }
}

/// The level that a call waits for.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Wait {
    /// The position in the order of submissions is fixed.
    Accepted,
    /// The batch is part of a version with digests.
    Hashed,
    /// The version, or a later one, has a KZG root.
    Root,
    /// The version is as durable as the configuration requires.
    #[default]
    Durable,
    /// A majority of the carrier's servers has acknowledged the version.
    Replicated,
    /// `followers` replicas have synced the version.
    Followed,
}

impl Wait {
    fn message(self) -> proto::Wait {
        match self {
            Self::Accepted => proto::Wait::Accepted,
            Self::Hashed => proto::Wait::Hashed,
            Self::Root => proto::Wait::Root,
            Self::Durable => proto::Wait::Durable,
            Self::Replicated => proto::Wait::Replicated,
            Self::Followed => proto::Wait::Followed,
        }
    }

    fn of(wait: proto::Wait) -> Self {
        match wait {
            proto::Wait::Accepted => Self::Accepted,
            proto::Wait::Hashed => Self::Hashed,
            proto::Wait::Root => Self::Root,
            proto::Wait::Unspecified | proto::Wait::Durable => Self::Durable,
            proto::Wait::Replicated => Self::Replicated,
            proto::Wait::Followed => Self::Followed,
        }
    }
}

/// A batch to submit.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SubmitRequest {
    /// The operations in order: the last write to a key wins.
    #[serde(default)]
    operations: Vec<Operation>,
    #[serde(default)]
    requirements: Vec<Requirement>,
    /// At most 256 bytes, stored in the commit record.
    metadata_hex: Option<String>,
    /// A name of this batch, at most 64 bytes. The same batch with the same name takes effect once.
    idempotency_key: Option<String>,
    #[serde(default)]
    wait: Wait,
    /// The number of followers, with `"wait": "followed"`.
    #[serde(default)]
    followers: u32,
}

impl SubmitRequest {
    pub(super) fn message(self) -> Result<proto::SubmitRequest, ServiceError> {
        let operations = self.operations.into_iter().map(Operation::message);
        let requirements = self.requirements.into_iter().map(Requirement::message);
        let metadata = self.metadata_hex.as_deref().unwrap_or_default();
        Ok(proto::SubmitRequest {
            operations: operations.collect::<Result<_, _>>()?,
            requirements: requirements.collect::<Result<_, _>>()?,
            metadata: from_hex("metadata", metadata)?,
            idempotency_key: self.idempotency_key.unwrap_or_default().into(),
            wait: self.wait.message().into(),
            followers: self.followers,
        })
    }
}

/// Batches to try.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PreviewRequest {
    /// The batches, each applied on top of those before it.
    batches: Vec<PreviewBatch>,
    /// A version in memory to apply them to. Without it: the newest durable one.
    #[serde(default)]
    version: u64,
}

/// A batch to try.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PreviewBatch {
    /// The operations in order: the last write to a key wins.
    #[serde(default)]
    operations: Vec<Operation>,
    #[serde(default)]
    requirements: Vec<Requirement>,
}

impl PreviewRequest {
    pub(super) fn message(self) -> Result<proto::PreviewRequest, ServiceError> {
        let batches = self.batches.into_iter().map(|batch| {
            let operations = batch.operations.into_iter().map(Operation::message);
            let requirements = batch.requirements.into_iter().map(Requirement::message);
            Ok(proto::PreviewBatch {
                operations: operations.collect::<Result<_, ServiceError>>()?,
                requirements: requirements.collect::<Result<_, ServiceError>>()?,
            })
        });
        Ok(proto::PreviewRequest {
            batches: batches.collect::<Result<_, ServiceError>>()?,
            version: self.version,
        })
    }
}

/// The results that batches would have. The roots are not signed: there may never be a version that has them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PreviewReply {
    /// The version that the batches were applied to.
    version: u64,
    /// The outcome of each batch. A refused batch has no effect.
    outcomes: Vec<Outcome>,
    state_digest: String,
    kzg_root: String,
    /// The number of keys that would have a value.
    key_count: u64,
}

impl PreviewReply {
    pub(super) fn of(reply: proto::PreviewReply) -> Self {
        Self {
            version: reply.version,
            outcomes: reply.outcomes.into_iter().map(Outcome::of).collect(),
            state_digest: hex::encode(&reply.state_digest),
            kzg_root: hex::encode(&reply.kzg_root),
            key_count: reply.key_count,
        }
    }
}

/// A version to revert to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RevertRequest {
    /// A version that is kept.
    version: u64,
    /// At most 256 bytes, stored in the commit record.
    metadata_hex: Option<String>,
    /// A name of this revert, at most 64 bytes. The same revert with the same name takes effect once.
    idempotency_key: Option<String>,
    #[serde(default)]
    wait: Wait,
    /// The number of followers, with `"wait": "followed"`.
    #[serde(default)]
    followers: u32,
}

impl RevertRequest {
    pub(super) fn message(self) -> Result<proto::RevertRequest, ServiceError> {
        let metadata = self.metadata_hex.as_deref().unwrap_or_default();
        Ok(proto::RevertRequest {
            version: self.version,
            metadata: from_hex("metadata", metadata)?,
            idempotency_key: self.idempotency_key.unwrap_or_default().into(),
            wait: self.wait.message().into(),
            followers: self.followers,
        })
    }
}

/// The answer to a submission.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SubmitReply {
    /// The position among all submissions of the tree.
    sequence: u64,
    provisional_root: String,
    /// The level that was reached.
    reached: Wait,
    #[serde(skip_serializing_if = "Option::is_none")]
    hashed: Option<Hashed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<CoveringRoot>,
    /// `sync`, `interval` or `os`.
    #[serde(skip_serializing_if = "Option::is_none")]
    durability: Option<String>,
    /// True if the idempotency key was used before: this is the answer to the first submission.
    is_repeat: bool,
}

/// The version of a submission, and its outcome.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Hashed {
    version: u64,
    commit_id: String,
    state_digest: String,
    outcome: Outcome,
}

/// The outcome of a submission.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub(super) enum Outcome {
    /// It took effect.
    Applied {
        /// The number of keys that newer keys on their paths replaced (policy `overwrite`).
        displaced: u32,
    },
    /// It had no effect.
    Refused {
        /// `requirement_failed`, `bucket_full` or `path_taken`.
        reason: String,
        key_hash: String,
    },
    /// It restored the state of an older version.
    Reverted {
        /// The commit id of that version.
        commit_id: String,
    },
}

/// A KZG root that covers a submission.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CoveringRoot {
    version: u64,
    kzg_root: String,
}

impl SubmitReply {
    pub(super) fn of(reply: proto::SubmitReply) -> Self {
        Self {
            sequence: reply.sequence,
            provisional_root: hex::encode(&reply.provisional_root),
            reached: Wait::of(reply.reached()),
            hashed: reply.hashed.map(Hashed::of),
            root: reply.root.map(|root| CoveringRoot {
                version: root.version,
                kzg_root: hex::encode(&root.kzg_root),
            }),
            durability: (!reply.durability.is_empty()).then_some(reply.durability),
            is_repeat: reply.is_repeat,
        }
    }
}

impl Outcome {
    fn of(outcome: proto::Outcome) -> Self {
        match outcome.kind {
            Some(proto::outcome::Kind::Refused(refused)) => Self::Refused {
                reason: refused.reason,
                key_hash: hex::encode(&refused.key_hash),
            },
            Some(proto::outcome::Kind::Reverted(reverted)) => Self::Reverted {
                commit_id: hex::encode(&reverted.commit_id),
            },
            Some(proto::outcome::Kind::Applied(applied)) => Self::Applied {
                displaced: applied.displaced,
            },
            None => Self::Applied { displaced: 0 },
        }
    }
}

impl Hashed {
    fn of(hashed: proto::Hashed) -> Self {
        Self {
            version: hashed.version,
            commit_id: hex::encode(&hashed.commit_id),
            state_digest: hex::encode(&hashed.state_digest),
            outcome: Outcome::of(hashed.outcome.unwrap_or_default()),
        }
    }
}

/// Keys to read.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GetRequest {
    keys: Vec<Key>,
    /// A kept version. Without it: the newest durable one.
    version: Option<u64>,
    /// Read the latest accepted values, which a crash may lose.
    #[serde(default)]
    latest: bool,
    /// Wait for this version.
    #[serde(default)]
    min_version: u64,
}

impl GetRequest {
    pub(super) fn message(self) -> Result<proto::GetRequest, ServiceError> {
        Ok(proto::GetRequest {
            keys: keys(self.keys)?,
            at: Some(at(self.version, self.latest)?),
            min_version: self.min_version,
        })
    }
}

/// A range of keys in byte order. A bound is a key: text, or hex.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RangeRequest {
    /// The prefix of the keys. With it, neither from nor to.
    prefix: Option<Key>,
    /// The first key.
    from: Option<Key>,
    /// The key before which the range ends.
    to: Option<Key>,
    /// Begin with the last key.
    #[serde(default)]
    reverse: bool,
    /// The `resume` of the page before, to read the rest of the same range.
    after: Option<Key>,
    /// The maximum number of entries of the page; 1,000 without it. A page may have fewer.
    #[serde(default)]
    limit: u32,
    /// A kept version. Without it: the newest durable one.
    version: Option<u64>,
    /// Read the latest accepted values, which a crash may lose.
    #[serde(default)]
    latest: bool,
    /// Wait for this version.
    #[serde(default)]
    min_version: u64,
}

impl RangeRequest {
    pub(super) fn message(self) -> Result<proto::RangeRequest, ServiceError> {
        let bytes = |key: Option<Key>| key.map_or(Ok(Bytes::new()), Key::bytes);
        Ok(proto::RangeRequest {
            prefix: bytes(self.prefix)?,
            from: bytes(self.from)?,
            to: bytes(self.to)?,
            reverse: self.reverse,
            after: bytes(self.after)?,
            limit: self.limit,
            at: Some(at(self.version, self.latest)?),
            min_version: self.min_version,
        })
    }
}

/// A page of a range.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RangeReply {
    entries: Vec<Pair>,
    /// Set if the range may have more, also where the page has no entry: pass it as `after`.
    #[serde(skip_serializing_if = "Option::is_none")]
    resume: Option<Key>,
    /// The version that was read; none for the latest accepted values. Request it again for the next page of the same
    /// state.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
}

/// A key and its value, as text or hex.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Pair {
    #[serde(flatten)]
    key: Key,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_hex: Option<String>,
}

impl RangeReply {
    pub(super) fn of(reply: proto::RangeReply) -> Self {
        let entries = reply.entries.into_iter().map(|pair| {
            let (value, value_hex) = shown(&pair.value);
            Pair {
                key: Key::of(&pair.key),
                value,
                value_hex,
            }
        });
        Self {
            entries: entries.collect(),
            resume: reply.resume.map(|key| Key::of(&key)),
            version: reply.version,
        }
    }
}

/// Returns the state to read.
fn at(version: Option<u64>, latest: bool) -> Result<proto::At, ServiceError> {
    let kind = match (version, latest) {
        (None, true) => Some(proto::at::Kind::Latest(proto::Latest {})),
        (Some(version), false) => Some(proto::at::Kind::Version(version)),
        (None, false) => None,
        (Some(_), true) => return Err(invalid("give version or latest")),
    };
    Ok(proto::At { kind })
}

fn keys(keys: Vec<Key>) -> Result<Vec<Bytes>, ServiceError> {
    keys.into_iter().map(Key::bytes).collect()
}

/// Values, one for each key, in order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GetReply {
    values: Vec<Value>,
    /// The version that was read; none for the latest accepted values.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
}

/// A value, as `value` (text) or `value_hex`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Value {
    present: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_hex: Option<String>,
}

impl GetReply {
    pub(super) fn of(reply: proto::GetReply) -> Self {
        let values = reply.values.into_iter().map(|value| {
            let (text, hex) = value.value.as_deref().map(shown).unwrap_or_default();
            Value {
                present: value.value.is_some(),
                value: text,
                value_hex: hex,
            }
        });
        Self {
            values: values.collect(),
            version: reply.version,
        }
    }
}

/// The connection between the slots of a proof and the root.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Top {
    /// An opening of the KZG root.
    #[default]
    Kzg,
    /// Hashes up to the state digest.
    Hash,
}

/// Keys to prove.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProveRequest {
    keys: Vec<Key>,
    /// The version; 0 for the newest durable one.
    #[serde(default)]
    version: u64,
    #[serde(default)]
    top: Top,
    /// The length of the longest value that the proof contains; longer ones are proven by their hash.
    value_bytes_max: Option<u64>,
    #[serde(default)]
    min_version: u64,
}

impl ProveRequest {
    pub(super) fn message(self) -> Result<proto::ProveRequest, ServiceError> {
        let top = match self.top {
            Top::Kzg => proto::Top::Kzg,
            Top::Hash => proto::Top::Hash,
        };
        Ok(proto::ProveRequest {
            keys: keys(self.keys)?,
            version: self.version,
            top: top.into(),
            value_bytes_max: self.value_bytes_max,
            min_version: self.min_version,
        })
    }
}

/// A proof.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProveReply {
    /// The root of the proof. Do not trust it because it comes with the proof: compare it with yours.
    root: Root,
    /// The wire form of SPEC.md §9, hex.
    proof: String,
}

/// A root.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Root {
    tree_id: String,
    version: u64,
    commit_id: String,
    state_digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kzg_root: Option<String>,
}

impl Root {
    fn of(root: Option<proto::Root>) -> Self {
        let root = root.unwrap_or_default();
        Self {
            tree_id: hex::encode(&root.tree_id),
            version: root.version,
            commit_id: hex::encode(&root.commit_id),
            state_digest: hex::encode(&root.state_digest),
            kzg_root: hex_or_none(&root.kzg_root),
        }
    }
}

impl ProveReply {
    pub(super) fn of(reply: proto::ProveReply) -> Self {
        Self {
            root: Root::of(reply.root),
            proof: hex::encode(&reply.proof),
        }
    }
}

/// A root and its commit record.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RootReply {
    root: Root,
    /// The canonical bytes of SPEC.md §4, hex.
    record: String,
    key_count: u64,
    last_sequence: u64,
    metadata_hex: String,
}

impl RootReply {
    pub(super) fn of(reply: proto::RootReply) -> Self {
        Self {
            root: Root::of(reply.root),
            record: hex::encode(&reply.record),
            key_count: reply.key_count,
            last_sequence: reply.last_sequence,
            metadata_hex: hex::encode(&reply.metadata),
        }
    }
}

/// Versions that can be read.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VersionsReply {
    oldest_version: u64,
    newest_version: u64,
    /// The versions in ascending order.
    versions: Vec<KeptVersion>,
}

/// A version that can be read.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeptVersion {
    version: u64,
    commit_id: String,
    state_digest: String,
    /// The KZG root; none if it was not computed.
    kzg_root: Option<String>,
    key_count: u64,
    /// The time at which it became durable, milliseconds since 1970, if it is known.
    durable_unix_ms: Option<u64>,
    /// True if the archive of versions has it.
    is_archived: bool,
}

impl VersionsReply {
    pub(super) fn of(reply: proto::VersionsReply) -> Self {
        let versions = reply.versions.into_iter().map(|kept| KeptVersion {
            version: kept.version,
            commit_id: hex::encode(&kept.commit_id),
            state_digest: hex::encode(&kept.state_digest),
            kzg_root: (!kept.kzg_root.is_empty()).then(|| hex::encode(&kept.kzg_root)),
            key_count: kept.key_count,
            durable_unix_ms: (kept.durable_unix_ms > 0).then_some(kept.durable_unix_ms),
            is_archived: kept.is_archived,
        });
        Self {
            oldest_version: reply.oldest_version,
            newest_version: reply.newest_version,
            versions: versions.collect(),
        }
    }
}

/// A proof of the history, of a submission, or an audit.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProofReply {
    /// The wire form of SPEC.md, hex.
    proof: String,
    /// The version that the proof is about.
    version: u64,
}

impl ProofReply {
    pub(super) fn of(reply: proto::ProofBytes) -> Self {
        Self {
            proof: hex::encode(&reply.proof),
            version: reply.version,
        }
    }
}

/// One line of the feed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FeedLine {
    version: u64,
    commit_id: String,
    /// The canonical bytes of SPEC.md §4, hex.
    record: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kzg_root: Option<String>,
    /// The canonical bytes of SPEC.md §13, hex.
    outcomes: String,
    /// The canonical bytes of SPEC.md §18, hex.
    effects: String,
}

impl FeedLine {
    pub(super) fn of(entry: proto::FeedEntry) -> Self {
        Self {
            version: entry.version,
            commit_id: hex::encode(&entry.commit_id),
            record: hex::encode(&entry.record),
            kzg_root: hex_or_none(&entry.kzg_root),
            outcomes: hex::encode(&entry.outcomes),
            effects: hex::encode(&entry.effects),
        }
    }
}

/// The state of the service.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StatusReply {
    tree_id: String,
    /// `primary`, `replica` or `single`.
    role: String,
    durable_version: u64,
    synced_version: u64,
    oldest_version: u64,
    key_count: u64,
    epoch: u64,
    /// On a replica: the number of versions that the primary has and this one does not.
    lag_versions: u64,
    /// The reason why it stopped, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    uptime_ms: u64,
    is_draining: bool,
}

impl StatusReply {
    pub(super) fn of(reply: proto::StatusReply) -> Self {
        Self {
            tree_id: hex::encode(&reply.tree_id),
            role: reply.role,
            durable_version: reply.durable_version,
            synced_version: reply.synced_version,
            oldest_version: reply.oldest_version,
            key_count: reply.key_count,
            epoch: reply.epoch,
            lag_versions: reply.lag_versions,
            failure: (!reply.failure.is_empty()).then_some(reply.failure),
            uptime_ms: reply.uptime_ms,
            is_draining: reply.is_draining,
        }
    }
}

/// An error.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ErrorReply {
    /// The stable code.
    code: &'static str,
    /// The reason, and what to do.
    message: String,
    /// The time after which the same request may succeed, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

impl ErrorReply {
    pub(super) fn of(error: &ServiceError) -> Self {
        let retry_after = error.retry_after;
        Self {
            code: error.code.text(),
            message: error.message.clone(),
            retry_after_ms: retry_after.map(|after| after.as_millis() as u64),
        }
    }
}
