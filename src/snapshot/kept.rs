//! The versions that can be read, with their identities.

use trunkline_actors::state::State;
use trunkline_actors::state::past::PastError;
use trunkline_core::hash::Digest;
use trunkline_core::record::CommitRecord;

/// A version that can be read.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// let engine = trunkline::Engine::open_blocking(config)?;
/// let durable = engine.put_blocking("alice", "10")?.durable_blocking()?;
/// let kept = engine.kept_versions(1, 100)?;
/// assert_eq!((kept[0].version, kept[0].commit_id), (durable.version, durable.commit_id));
/// assert!(!kept[0].is_archived);
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptVersion {
    /// Its number.
    pub version: u64,
    /// Its commit id.
    pub commit_id: Digest,
    /// Its state digest.
    pub state_digest: Digest,
    /// Its KZG root, if it was computed.
    pub kzg_root: Option<[u8; 48]>,
    /// The number of keys that had a value.
    pub key_count: u64,
    /// The time at which it became durable, milliseconds since 1970, if it is known. It is not known for versions that
    /// were replayed from the log before a checkpoint archived them.
    pub durable_ms: Option<u64>,
    /// True if the archive of versions has it. Otherwise it is in memory and in the log.
    pub is_archived: bool,
}

impl KeptVersion {
    fn of(
        record: &CommitRecord,
        kzg_root: Option<[u8; 48]>,
        durable_ms: u64,
        is_archived: bool,
    ) -> Self {
        Self {
            version: record.version,
            commit_id: record.commit_id(),
            state_digest: record.state_digest,
            kzg_root,
            key_count: record.key_count,
            durable_ms: (durable_ms > 0).then_some(durable_ms),
            is_archived,
        }
    }
}

/// Returns the readable versions from one on, in ascending order; at most this many.
pub(crate) fn kept_versions(
    state: &State,
    from: u64,
    count_max: usize,
) -> Result<Vec<KeptVersion>, PastError> {
    let newest = state.versions.newest().number();
    let first = from.max(state.oldest_version());
    let mut kept = Vec::new();
    for number in first..=newest {
        if kept.len() == count_max {
            break;
        }
        match kept_version(state, number) {
            Ok(found) => kept.extend(found),
            // Others were pruned in the meantime.
            Err(PastError::Pruned { .. }) => kept.clear(),
            Err(error) => return Err(error),
        }
    }
    Ok(kept)
}

fn kept_version(state: &State, number: u64) -> Result<Option<KeptVersion>, PastError> {
    let past = state.past.as_ref();
    let is_archived = past.is_some_and(|past| number < past.next());
    if let Some(version) = state.versions.get(number) {
        let kzg_root = version.kzg_root.get().copied();
        let durable_ms = version.durable_ms();
        let kept = KeptVersion::of(&version.record, kzg_root, durable_ms, is_archived);
        return Ok(Some(kept));
    }
    let Some(past) = past else {
        return Ok(None);
    };
    let version = past.version(number)?;
    Ok(version.map(|version| {
        let (kzg_root, durable_ms) = (version.kzg_root, version.durable_ms);
        KeptVersion::of(&version.record, kzg_root, durable_ms, is_archived)
    }))
}
