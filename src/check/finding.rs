//! The findings of a check.

use std::error::Error;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use trunkline_actors::state::past::PastError;
use trunkline_core::hash::Digest;
use trunkline_core::kzg::TablesError;
use trunkline_core::store::disk::ReadFileError;
use trunkline_core::store::feed_cursors::CursorsError;
use trunkline_core::store::history_file::HistoryFileError;
use trunkline_core::store::idempotency_file::IdempotencyFileError;
use trunkline_core::store::key_order_file::KeyOrderFileError;
use trunkline_core::store::leaves::LeafStoreError;
use trunkline_core::store::log::{LogPosition, ProvenSegment, ReadLogError};
use trunkline_core::store::manifest::ReadManifestError;
use trunkline_core::store::pages_file::PagesFileError;
use trunkline_core::store::replica_file::ReplicaFileError;
use trunkline_core::store::tree_file::ReadTreeFileError;

use crate::error::ReplayError;

/// Most findings in a report; further ones are only counted.
pub(super) const FINDINGS_MAX: usize = 1000;

/// The result of a check. Returned by [`check`](super::check).
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// # let engine = trunkline::Engine::open_blocking(config)?;
/// # engine.put_blocking("alice", "10")?.durable_blocking()?;
/// # engine.shutdown_blocking()?;
/// let report = trunkline::check(directory.path())?;
/// assert!(report.is_sound());
/// assert_eq!(report.verified.map(|last| last.version), Some(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct CheckReport {
    /// The id of the tree, if its tree file or its manifest can be read.
    pub tree_id: Option<Digest>,
    /// The version of the last checkpoint, if the manifest can be read.
    pub checkpoint_version: Option<u64>,
    /// Number of segments in the log.
    pub segments: u64,
    /// Number of versions in the log that can be read.
    pub log_versions: u64,
    /// Size of the log's torn tail in bytes, which is not damage.
    pub torn_bytes: u64,
    /// Number of commit ids that were compared in the history file.
    pub commit_ids: u64,
    /// Number of leaves that can be read in the leaf store.
    pub leaves: u64,
    /// Number of versions in the archive of versions.
    pub archived_versions: u64,
    /// The last version in the log.
    pub last: Option<LogPosition>,
    /// The last version whose state was rebuilt and found to be the one in its record.
    pub verified: Option<LogPosition>,
    /// The findings, up to 1,000.
    pub findings: Vec<Finding>,
    /// The number of further findings.
    pub more_findings: u64,
    /// Parts that could not be checked because of the findings.
    pub unchecked: Vec<String>,
}

impl CheckReport {
    /// Returns whether nothing is damaged. Leftovers of interrupted work are not damage.
    pub fn is_sound(&self) -> bool {
        self.more_findings == 0 && !self.findings.iter().any(Finding::is_damage)
    }

    pub(super) fn add(&mut self, finding: Finding) {
        match self.findings.len() < FINDINGS_MAX {
            true => self.findings.push(finding),
            false => self.more_findings += 1,
        }
    }
}

/// The part of a tree that a finding is about.
///
/// ```
/// assert_eq!(trunkline::Part::History.to_string(), "history");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The tree file.
    TreeFile,
    /// The checkpoint manifest.
    Manifest,
    /// The segments of the log.
    Log,
    /// The file that names the last segment.
    LastSegment,
    /// The history file.
    History,
    /// The idempotency keys up to the checkpoint.
    IdempotencyKeys,
    /// The leaf store.
    Leaves,
    /// The page digests of the checkpoint.
    Pages,
    /// The state of a version.
    State,
    /// The archive of versions.
    Past,
    /// The cursors of the feed.
    Cursors,
    /// The index of keys in byte order, or the file that records whether there is one.
    KeyOrder,
    /// The mark of a replica.
    ReplicaMark,
    /// The KZG tables.
    KzgTables,
    /// A leftover file of interrupted work.
    Leftover,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TreeFile => "tree file",
            Self::Manifest => "manifest",
            Self::Log => "log",
            Self::LastSegment => "last segment",
            Self::History => "history",
            Self::IdempotencyKeys => "idempotency keys",
            Self::Leaves => "leaves",
            Self::Pages => "page digests",
            Self::State => "state",
            Self::Past => "archive of versions",
            Self::Cursors => "cursors",
            Self::KeyOrder => "key order",
            Self::ReplicaMark => "replica mark",
            Self::KzgTables => "KZG tables",
            Self::Leftover => "leftover",
        })
    }
}

/// A damaged part, or a leftover.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// # let engine = trunkline::Engine::open_blocking(config)?;
/// # engine.shutdown_blocking()?;
/// std::fs::write(directory.path().join("KZG-TABLES"), "?")?;
/// let report = trunkline::check(directory.path())?;
/// let [finding] = &report.findings[..] else { panic!() };
/// assert_eq!(finding.part, trunkline::Part::KzgTables);
/// assert!(matches!(finding.repair, Some(trunkline::Repair::KzgTables)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Finding {
    /// The part of the tree.
    pub part: Part,
    /// The file or directory.
    pub path: PathBuf,
    /// Offset in the file in bytes, if the fault is in one place.
    pub offset: Option<u64>,
    /// The versions that are affected. If the end is unknown, it is `u64::MAX`.
    pub versions: Option<RangeInclusive<u64>>,
    /// The fault.
    pub fault: Fault,
    /// The way to repair it, if the true content can be rebuilt from verified data.
    pub repair: Option<Repair>,
}

/// A fault in a part of a tree.
///
/// ```
/// use trunkline::Fault;
/// let fault = Fault::Differs { what: "the node", expected: "1".into(), found: "2".into() };
/// assert_eq!(fault.to_string(), "the node should be 1, and is 2");
/// ```
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The part is missing.
    #[error("it is missing")]
    Missing,
    /// The tree file cannot be used.
    #[error(transparent)]
    TreeFile(#[from] ReadTreeFileError),
    /// The manifest cannot be used.
    #[error(transparent)]
    Manifest(#[from] ReadManifestError),
    /// The log is damaged.
    #[error(transparent)]
    Log(#[from] ReadLogError),
    /// The log ends before the version of a checkpoint that was begun.
    #[error("a checkpoint of version {intent} was begun, but the log ends at version {last}")]
    LogEndsEarly {
        /// The version of the checkpoint.
        intent: u64,
        /// The last version of the log.
        last: u64,
    },
    /// The history file cannot be used.
    #[error(transparent)]
    History(#[from] HistoryFileError),
    /// The idempotency keys cannot be used.
    #[error(transparent)]
    IdempotencyKeys(#[from] ReadFileError<IdempotencyFileError>),
    /// The page digests cannot be used.
    #[error(transparent)]
    Pages(#[from] ReadFileError<PagesFileError>),
    /// The leaf store cannot be read, or an entry is damaged.
    #[error(transparent)]
    Leaves(#[from] LeafStoreError),
    /// A state, or the data that led to it, is not the one in its record.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The archived data of a version differs from the version.
    #[error(transparent)]
    Past(#[from] PastError),
    /// The cursors of the feed cannot be used.
    #[error(transparent)]
    Cursors(#[from] ReadFileError<CursorsError>),
    /// The file about the index of keys cannot be used.
    #[error(transparent)]
    KeyOrder(#[from] ReadFileError<KeyOrderFileError>),
    /// The mark of a replica cannot be used.
    #[error(transparent)]
    ReplicaMark(#[from] ReadFileError<ReplicaFileError>),
    /// The KZG tables cannot be used.
    #[error(transparent)]
    KzgTables(#[from] TablesError),
    /// A file could not be read.
    #[error("it could not be read")]
    Io(#[from] io::Error),
    /// Data differs from what follows from the rest of the directory.
    #[error("{what} should be {expected}, and is {found}")]
    Differs {
        /// The thing that differs.
        what: &'static str,
        /// The value that follows from the rest of the directory.
        expected: String,
        /// The actual value.
        found: String,
    },
    /// A leftover of interrupted work. It is not damage.
    #[error("a leftover of interrupted work; it has no effect")]
    Leftover,
}

/// A way to repair a finding.
///
/// ```
/// assert_eq!(trunkline::Repair::KzgTables.to_string(), "computed again: they are a constant");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Repair {
    /// The history file is written again from commit ids whose history digest is the one in the checkpoint's record.
    #[error("written again from commit ids that the checkpoint's record proves")]
    History,
    /// The file that names the last segment is written again.
    #[error("written again, since the last segment is proven to be {}", .0.name())]
    LastSegment(ProvenSegment),
    /// The leaf store is built again from a log that has all versions from the first on.
    #[error("built again from the log, which has all versions from the first on")]
    Leaves,
    /// The index of keys is built again from the leaves.
    #[error("built again from the leaves")]
    KeyOrder,
    /// The page digests are removed.
    #[error("removed: opening reads the leaves then, and the next checkpoint writes them again")]
    Pages,
    /// The KZG tables are computed again.
    #[error("computed again: they are a constant")]
    KzgTables,
    /// A leftover is removed.
    #[error("removed")]
    Leftover,
}

impl Finding {
    pub(super) fn new(part: Part, path: impl Into<PathBuf>, fault: impl Into<Fault>) -> Self {
        Self {
            part,
            path: path.into(),
            offset: None,
            versions: None,
            fault: fault.into(),
            repair: None,
        }
    }

    pub(super) fn at(self, offset: u64) -> Self {
        let offset = Some(offset);
        Self { offset, ..self }
    }

    pub(super) fn of_versions(self, versions: RangeInclusive<u64>) -> Self {
        let versions = Some(versions);
        Self { versions, ..self }
    }

    /// Returns whether it is damage, and not only a leftover.
    pub fn is_damage(&self) -> bool {
        self.part != Part::Leftover
    }

    /// Returns the expected and the actual content.
    pub fn expected_and_found(&self) -> (String, String) {
        if let Fault::Differs {
            expected, found, ..
        } = &self.fault
        {
            return (expected.clone(), found.clone());
        }
        if let Fault::Replay(ReplayError::Differs {
            recorded, found, ..
        }) = &self.fault
        {
            return (recorded.clone(), found.clone());
        }
        let expected = match (&self.fault, self.part) {
            (Fault::Log(ReadLogError::Damaged { version, .. }), _) => {
                format!("the frame of version {version}")
            }
            (Fault::Log(ReadLogError::Gap { expected, .. }), _) => format!("version {expected}"),
            (_, Part::Leftover) => "nothing".to_owned(),
            _ => "what was written".to_owned(),
        };
        (expected, innermost(&self.fault))
    }

    /// Returns the effect of the damage.
    pub fn affects(&self) -> &'static str {
        match self.part {
            Part::TreeFile => {
                "everything: without the parameters no key has a hash, and no engine opens"
            }
            Part::Manifest => {
                "the leaf store and the history file: no engine opens without the manifest"
            }
            Part::Log => {
                "the versions that cannot be read and those after them; an engine opens only if the whole segment is below the checkpoint"
            }
            Part::LastSegment => {
                "opening: without it, a log that has lost its end would look whole"
            }
            Part::History => {
                "proofs of ancestors and of consistency, and opening if the header, a peak or the last commit id is damaged; no key or value"
            }
            Part::IdempotencyKeys => {
                "opening: without the keys, submissions that are repeated would be applied twice; no key or value"
            }
            Part::Leaves => {
                "the keys with these hashes and the state digest of every version from the checkpoint on: no engine opens"
            }
            Part::Pages => {
                "the time that opening takes: an engine reads all leaves if the file is damaged; it does not open if the file is whole and has another state"
            }
            Part::State => "the state of this version and of those after it: no engine opens",
            Part::Past => "reads and proofs of this version and of older ones; no newer state",
            Part::Cursors => "opening, and how far the log is kept for those who read the feed",
            Part::KeyOrder => {
                "reads of ranges, which may miss keys or fail; if the file KEY-ORDER is damaged, opening"
            }
            Part::ReplicaMark => "opening: it is not known whether this is a replica",
            Part::KzgTables => {
                "the time that opening takes: an engine computes them if the file is damaged"
            }
            Part::Leftover => "nothing; opening removes most leftovers",
        }
    }

    /// Returns the advice to the user.
    pub fn advice(&self) -> String {
        if let Some(repair) = &self.repair {
            return format!("it can be repaired: {repair}");
        }
        let advice = match self.part {
            Part::TreeFile => {
                "restore the file from a copy of this tree; nonce and salt are nowhere else"
            }
            Part::Manifest => {
                "restore the whole directory from a copy; the leaf store may be of another version than an older manifest"
            }
            Part::Log => "restore the file from a copy; no other part has what a version did",
            Part::LastSegment => {
                "restore the file from a copy, or repair with the commit id of the last version, if a client or a replica knows it: the directory does not prove that no later segment was lost"
            }
            Part::History => {
                "restore the file from a copy; some commit id is neither in the log nor proven by the checkpoint's record"
            }
            Part::IdempotencyKeys => {
                "restore the file from a copy that was made after the last checkpoint, or the whole directory from a copy or a replica"
            }
            Part::Leaves | Part::State => {
                "restore the whole directory from a copy; the log does not have all versions from the first on, so the leaves cannot be built again"
            }
            Part::Past => {
                "restore the directory from a copy, or remove the archive (docs/OPERATIONS.md); newer versions are not concerned"
            }
            Part::Cursors => {
                "remove the file, and create the cursors again: readers of the feed may have to start from a copy"
            }
            Part::KeyOrder => {
                "restore the directory from a copy, or export it and import it into a new one"
            }
            Part::ReplicaMark => "restore the file from a copy of this replica",
            Part::KzgTables | Part::Pages => "delete the file",
            Part::Leftover => "leave it until the rest is sound",
        };
        advice.to_owned()
    }
}

/// Returns the last cause of an error.
fn innermost(error: &dyn Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// Returns the file that may not be read, if the finding is about that: nothing is then known about the file.
pub(super) fn denied(finding: &Finding) -> Option<&Path> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&finding.fault);
    while let Some(error) = cause {
        let of_system = error.downcast_ref::<io::Error>();
        if of_system.is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
            return Some(&finding.path);
        }
        cause = error.source();
    }
    None
}
