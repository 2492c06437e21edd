//! Writing and reading bases.
//!
//! A base is written part by part, several at once, with its manifest last. Its content follows from the version and
//! from the limit on idempotency keys, so a repeated attempt completes an earlier one.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::spawn_blocking;
use trunkline::core::hash::Digest;
use trunkline::core::history::{HISTORY, MountainRange};
use trunkline::core::store::archive::manifest::{
    BASE_MANIFEST_BYTES_MAX, BaseManifest, PARTS_MAX, Part,
};
use trunkline::core::store::archive::part::{
    COMMIT_IDS, KEYED_SUBMISSIONS, LeavesWriter, PART_BYTES_MAX, Place, encode_commit_ids,
    encode_keyed,
};
use trunkline::core::store::archive::{BaseName, ObjectError, PartName, checksum};
use trunkline::core::store::idempotency_file::KeyedSubmission;
use trunkline::core::store::leaves::LeafRef;
use trunkline::core::store::log::LogPosition;
use trunkline::core::store::manifest::CheckpointManifest;
use trunkline::{HistoryError, ReadError, Snapshot};

use crate::archive::Archive;
use crate::error::{AccessError, WriteError};

/// Number of parts that are read or written at once. Each is in memory meanwhile.
pub(crate) const PARTS_AT_ONCE: usize = 4;

/// The reason why no base was written. Some parts may be written; the next attempt continues with them.
///
/// ```
/// use trunkline_archive::BaseError;
/// let error = BaseError::TooLarge;
/// assert!(error.to_string().starts_with("the tree has more leaves than a base can hold"));
/// ```
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// An object was not written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The snapshot cannot be read.
    #[error("the snapshot of version {version} cannot be read to its end")]
    Read {
        /// The version.
        version: u64,
        /// The cause.
        source: ReadError,
    },
    /// The history cannot be read.
    #[error("the history of version {version} cannot be read")]
    History {
        /// The version.
        version: u64,
        /// The cause.
        source: HistoryError,
    },
    /// The state that was read is not the one that the version's record names. It must not be restored.
    #[error(
        "the data read of version {version} does not match its commit record: {what}; check the directory"
    )]
    Contradiction {
        /// The version.
        version: u64,
        /// The part that differs.
        what: &'static str,
    },
    /// The base would have too many parts.
    #[error("the tree has more leaves than a base can hold ({PARTS_MAX} parts)")]
    TooLarge,
}

/// A part to be written.
type Produced = (PartName, Part, Bytes);

/// Writes a base of a snapshot, with the submissions that are remembered by their idempotency keys at its version.
pub(crate) async fn write(
    archive: &Archive,
    snapshot: Snapshot,
    keyed: Vec<KeyedSubmission>,
) -> Result<BaseName, BaseError> {
    let (version, root) = (snapshot.version(), snapshot.root());
    let record = snapshot.record().clone();
    let name = BaseName {
        version,
        open_epoch: record.open_epoch,
    };
    let (sender, produced) = channel(1);
    let producing = spawn_blocking(move || produce(&snapshot, &keyed, &sender));
    let written = stream::unfold(produced, async |mut produced: Receiver<Produced>| {
        produced.recv().await.map(|part| (part, produced))
    })
    .map(|part| put(archive, name, part))
    .buffered(PARTS_AT_ONCE)
    .try_collect::<Vec<_>>()
    .await;
    // A part that was not written also ends the production, without an error.
    let (parts, produced) = (written?, producing.await);
    let history = produced.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
    let parts_of = |is_kind: fn(&PartName) -> bool| {
        let parts = parts.iter().filter(|(name, _)| is_kind(name));
        parts.map(|(_, part)| *part).collect::<Vec<_>>()
    };
    let manifest = BaseManifest {
        state: CheckpointManifest {
            record,
            kzg_root: root.kzg_root,
            history,
            intent: None,
        },
        leaves: parts_of(|name| matches!(name, PartName::Leaves(_))),
        commit_ids: parts_of(|name| matches!(name, PartName::CommitIds(_))),
        idempotency_keys: parts_of(|name| matches!(name, PartName::IdempotencyKeys(_))),
    };
    let object = format!("{name}/{}", PartName::Manifest);
    archive.put_once(&object, manifest.encode().into()).await?;
    Ok(name)
}

async fn put(
    archive: &Archive,
    base: BaseName,
    (name, part, bytes): Produced,
) -> Result<(PartName, Part), BaseError> {
    archive.put_once(&format!("{base}/{name}"), bytes).await?;
    Ok((name, part))
}

/// Passes the parts of a base on. Returns the history of the version, including itself. Ends early without an error if
/// the receiver is gone.
fn produce(
    snapshot: &Snapshot,
    keyed: &[KeyedSubmission],
    sender: &Sender<Produced>,
) -> Result<MountainRange, BaseError> {
    let version = snapshot.version();
    let contradiction = |what| BaseError::Contradiction { version, what };
    let tree_id = snapshot.record().tree_id;
    let mut writer = LeavesWriter::new(tree_id, version);
    let (mut index, mut leaves) = (0, 0_u64);
    let mut pass = |part: Option<(Part, Vec<u8>)>| match part {
        None => Ok(true),
        Some(_) if index as usize == PARTS_MAX => Err(BaseError::TooLarge),
        Some((part, bytes)) => {
            index += 1;
            let name = PartName::Leaves(index - 1);
            Ok(sender.blocking_send((name, part, bytes.into())).is_ok())
        }
    };
    for pair in snapshot.iter() {
        let (key, value) = pair.map_err(|source| BaseError::Read { version, source })?;
        let leaf = LeafRef {
            key: &key,
            value: &value,
        };
        leaves += 1;
        if !pass(writer.push(leaf))? {
            return Ok(MountainRange::default());
        }
    }
    pass(writer.finish())?;
    if leaves != snapshot.key_count() {
        return Err(contradiction("the number of keys"));
    }
    let history = produce_commit_ids(snapshot, sender)?;
    let history = history.ok_or_else(|| contradiction("the history digest"))?;
    for (index, keyed) in (0..).zip(keyed.chunks(KEYED_SUBMISSIONS)) {
        let place = Place {
            tree_id,
            version,
            index,
        };
        let (part, bytes) = encode_keyed(&place, keyed);
        let name = PartName::IdempotencyKeys(index);
        if sender.blocking_send((name, part, bytes.into())).is_err() {
            break;
        }
    }
    Ok(history)
}

/// Passes the parts with the commit ids on. Returns the history, unless it differs from that of the version's record.
fn produce_commit_ids(
    snapshot: &Snapshot,
    sender: &Sender<Produced>,
) -> Result<Option<MountainRange>, BaseError> {
    let (version, mut history) = (snapshot.version(), MountainRange::default());
    let mut place = Place {
        tree_id: snapshot.record().tree_id,
        version,
        index: 0,
    };
    let mut commit_ids = Vec::new();
    for (ancestor, commit_id) in (0..).zip(snapshot.commit_ids()) {
        let commit_id = commit_id.map_err(|source| BaseError::History { version, source })?;
        if ancestor == version && history.digest(&HISTORY) != snapshot.record().history_digest {
            return Ok(None);
        }
        history.append(&HISTORY, &commit_id);
        commit_ids.push(commit_id);
        if commit_ids.len() == COMMIT_IDS || ancestor == version {
            let (part, bytes) = encode_commit_ids(&place, &commit_ids);
            let name = PartName::CommitIds(place.index);
            if sender.blocking_send((name, part, bytes.into())).is_err() {
                break;
            }
            place.index += 1;
            commit_ids.clear();
        }
    }
    Ok(Some(history))
}

/// Returns the commit id of a version up to a snapshot's.
pub(crate) fn commit_id(snapshot: &Snapshot, version: u64) -> Result<Digest, BaseError> {
    if version == snapshot.version() {
        return Ok(snapshot.commit_id());
    }
    let proof = snapshot.prove_ancestor(version);
    let proof = proof.map_err(|source| BaseError::History { version, source })?;
    Ok(proof.commit_id)
}

/// A base in an archive, ready to be read.
#[derive(Clone, Debug)]
pub(crate) struct BaseReader {
    archive: Archive,
    pub(crate) name: BaseName,
    pub(crate) manifest: BaseManifest,
}

impl BaseReader {
    /// Reads the manifest of a base.
    pub(crate) async fn open(
        archive: &Archive,
        tree_id: &Digest,
        name: BaseName,
    ) -> Result<Self, AccessError> {
        let object = format!("{name}/{}", PartName::Manifest);
        let bytes = archive.get(&object, BASE_MANIFEST_BYTES_MAX as u64).await?;
        let wrong = |source| AccessError::Object {
            object: object.clone(),
            source,
        };
        let manifest = BaseManifest::decode(&bytes).map_err(wrong)?;
        let record = manifest.record();
        if record.tree_id != *tree_id {
            return Err(wrong(ObjectError::OtherTree(record.tree_id)));
        }
        if (record.version, record.open_epoch) != (name.version, name.open_epoch) {
            return Err(wrong(ObjectError::Contradiction("it is of another base")));
        }
        Ok(Self {
            archive: archive.clone(),
            name,
            manifest,
        })
    }

    /// Returns the position of the base in the history.
    pub(crate) fn position(&self) -> LogPosition {
        LogPosition::of(self.manifest.record())
    }

    /// Returns the names and the descriptions of all parts: first those with leaves, then those with commit ids, then
    /// those with idempotency keys.
    pub(crate) fn parts(&self) -> Vec<(PartName, Part)> {
        let leaves = self.manifest.leaves.iter().zip(0..);
        let commit_ids = self.manifest.commit_ids.iter().zip(0..);
        let keys = self.manifest.idempotency_keys.iter().zip(0..);
        leaves
            .map(|(part, index)| (PartName::Leaves(index), *part))
            .chain(commit_ids.map(|(part, index)| (PartName::CommitIds(index), *part)))
            .chain(keys.map(|(part, index)| (PartName::IdempotencyKeys(index), *part)))
            .collect()
    }

    /// Returns the path of a part.
    pub(crate) fn path(&self, part: PartName) -> String {
        format!("{}/{part}", self.name)
    }

    /// Returns the place of a part.
    pub(crate) fn place(&self, index: u32) -> Place {
        Place {
            tree_id: self.manifest.record().tree_id,
            version: self.name.version,
            index,
        }
    }

    /// Reads the bytes of a part, and checks them against the manifest.
    pub(crate) async fn part(&self, name: PartName, part: Part) -> Result<Bytes, AccessError> {
        let object = self.path(name);
        if part.bytes > PART_BYTES_MAX as u64 {
            return Err(AccessError::Length {
                object,
                found: part.bytes,
                expected: PART_BYTES_MAX as u64,
            });
        }
        let bytes = self.archive.get_exactly(&object, part.bytes).await?;
        match checksum(&bytes) == Some(part.checksum) {
            true => Ok(bytes),
            false => Err(AccessError::Object {
                object,
                source: ObjectError::Contradiction(
                    "it is not the part that the manifest speaks of",
                ),
            }),
        }
    }
}
