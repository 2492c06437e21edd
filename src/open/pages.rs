//! Step 2 of opening, where it begins: a tree from the page digests of the last checkpoint, without its leaves.
//!
//! The file has the digests of one version, and the manifest says from which to which version leaves may be newer. Pages
//! that the log changes in between are read from the leaf store. Everything else is as the file says: it must fold to the
//! state digest of its version's record. If there is no file that fits, all leaves are read, as if there were none.

use std::path::Path;

use trunkline_actors::state::cold_leaves;
use trunkline_core::params::TreeParams;
use trunkline_core::record::CommitRecord;
use trunkline_core::store::disk::{Disk, ReadFileError};
use trunkline_core::store::leaves::LeafSnapshot;
use trunkline_core::store::log::{CommitLog, LOG_DIRECTORY, LogPosition};
use trunkline_core::store::manifest::CheckpointManifest;
use trunkline_core::store::pages_file::{PagesFile, PagesFileError, PagesOf};
use trunkline_core::tree::{ColdTree, OtherPages};

use super::replay::decode;
use crate::error::{OpenError, ReplayError};

/// A file of page digests, with the record of its version.
pub(crate) struct FoundPages {
    file: PagesFile,
    record: CommitRecord,
}

/// Opens the file of a directory. `None` if there is none, if it is damaged, or of a version that the leaf store cannot
/// have.
pub(super) fn open(
    disk: &dyn Disk,
    directory: &Path,
    marker: &CheckpointManifest,
) -> Result<Option<PagesFile>, OpenError> {
    let file = match PagesFile::open(disk, directory) {
        Ok(file) => file,
        Err(ReadFileError::Content { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let (checkpoint, intent) = (marker.record.version, marker.intent);
    let versions = checkpoint.max(1)..=intent.unwrap_or(checkpoint);
    Ok(file.filter(|file| versions.contains(&file.of().version)))
}

impl FoundPages {
    /// Returns the file with the record of its version, if the record matches the file.
    pub(super) fn of(file: PagesFile, record: CommitRecord) -> Option<Self> {
        (PagesOf::of(&record) == *file.of()).then_some(Self { file, record })
    }

    /// Builds the tree of the file, and reads pages again that may have changed since. Returns `None` if this build
    /// divides pages differently.
    pub(crate) fn build(
        self,
        disk: &dyn Disk,
        directory: &Path,
        params: &TreeParams,
        marker: &CheckpointManifest,
        leaves: &dyn LeafSnapshot,
    ) -> Result<Option<ColdTree>, OpenError> {
        let version = self.record.version;
        let cold = match read(self.file, directory) {
            Ok(Ok(cold)) => cold,
            Ok(Err(OtherPages { .. })) | Err(ReadFileError::Content { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let folded = cold.roots(version);
        let (digest, keys) = (folded.state_digest, folded.key_count);
        if digest != self.record.state_digest || keys != self.record.key_count {
            return Err(ReplayError::Pages { version }.into());
        }
        let mut pages = Pages {
            cold,
            params,
            leaves,
            changed: version + 1..=marker.intent.unwrap_or(version),
        };
        if !pages.changed.is_empty() {
            pages.read_again(disk, directory, LogPosition::of(&marker.record))?;
        }
        Ok(Some(pages.cold))
    }
}

/// Builds the tree of a file.
pub(crate) fn read(
    file: PagesFile,
    directory: &Path,
) -> Result<Result<ColdTree, OtherPages>, ReadFileError<PagesFileError>> {
    let (mut cold, mut pushed) = (ColdTree::default(), Ok(()));
    file.slots(directory, |_, slot| {
        if pushed.is_ok() {
            pushed = cold.push(&slot);
        }
        Ok::<_, ReadFileError<PagesFileError>>(())
    })?;
    Ok(pushed.map(|()| cold))
}

/// Page digests, some of which may be out of date.
struct Pages<'a> {
    cold: ColdTree,
    params: &'a TreeParams,
    leaves: &'a dyn LeafSnapshot,
    /// The versions whose changes the leaf store may have, but the digests do not.
    changed: std::ops::RangeInclusive<u64>,
}

impl Pages<'_> {
    fn read_again(
        &mut self,
        disk: &dyn Disk,
        directory: &Path,
        from: LogPosition,
    ) -> Result<(), OpenError> {
        let (log, tree_id) = (directory.join(LOG_DIRECTORY), self.params.tree_id());
        let mut failed = None;
        CommitLog::read_only(disk, &log, &tree_id, from, |entry| {
            if failed.is_some() || !self.changed.contains(&entry.record.version) {
                return Ok(());
            }
            let decoded = decode(self.params, entry)?;
            for run in self.cold.pages_of(&decoded.batch) {
                match cold_leaves::scan(self.params, self.leaves, run.key_hashes(), 0) {
                    Ok(leaves) => self.cold.reread(&run, &leaves),
                    Err(error) => failed = Some(OpenError::from(error)),
                }
            }
            Ok::<_, ReplayError>(())
        })?;
        failed.map_or(Ok(()), Err)
    }
}
