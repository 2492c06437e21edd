//! The page digests: they must fold to the state of the checkpoint, and the leaves to them.

use std::path::Path;

use trunkline_actors::state::cold_leaves;
use trunkline_core::params::TreeParams;
use trunkline_core::store::disk::Disk;
use trunkline_core::store::leaves::LeafSnapshot;
use trunkline_core::store::manifest::CheckpointManifest;
use trunkline_core::store::pages_file::{PAGES_FILE, PagesFile, PagesOf};
use trunkline_core::tree::{ColdTree, LeavesDiffer};

use super::finding::{CheckReport, Fault, Finding, Part, Repair};
use crate::error::{OpenError, ReplayError};
use crate::open::pages::read;
use crate::open::replay::check_state;

/// Checks the file of page digests, if there is one. A file of another version than the checkpoint has no meaning.
/// `leaves` are those of the checkpoint, if they were found valid.
pub(super) fn examine(
    disk: &dyn Disk,
    directory: &Path,
    params: &TreeParams,
    manifest: &CheckpointManifest,
    leaves: Option<&dyn LeafSnapshot>,
    report: &mut CheckReport,
) -> Result<(), OpenError> {
    let file = match PagesFile::open(disk, directory) {
        Ok(Some(file)) => file,
        Ok(None) => return Ok(()),
        Err(error) => return add(directory, error, report),
    };
    if *file.of() != PagesOf::of(&manifest.record) {
        return Ok(());
    }
    let cold = match read(file, directory) {
        Ok(Ok(cold)) => cold,
        // Another build has written it, which divided the pages differently.
        Ok(Err(_)) => return Ok(()),
        Err(error) => return add(directory, error, report),
    };
    let folded = cold.roots(manifest.record.version);
    let compared = match check_state(&manifest.record, &folded) {
        Ok(()) => match leaves.map(|leaves| compare(cold, params, leaves)) {
            None => Ok(()),
            Some(compared) => compared?.map_err(ReplayError::from),
        },
        differs => differs,
    };
    match compared {
        Ok(()) => Ok(()),
        Err(error) => add(directory, error, report),
    }
}

fn add(
    directory: &Path,
    fault: impl Into<Fault>,
    report: &mut CheckReport,
) -> Result<(), OpenError> {
    let mut finding = Finding::new(Part::Pages, directory.join(PAGES_FILE), fault);
    finding.repair = Some(Repair::Pages);
    report.add(finding);
    Ok(())
}

/// Compares each page with its leaves.
fn compare(
    cold: ColdTree,
    params: &TreeParams,
    leaves: &dyn LeafSnapshot,
) -> Result<Result<(), LeavesDiffer>, OpenError> {
    let (writer, _) = cold.finish(params.collision, 0);
    let mut restorer = writer.slot_restorer();
    while let Some(range) = restorer.next() {
        let found = cold_leaves::scan(params, leaves, range, 0)?;
        if let Err(differ) = restorer.restore(&found) {
            return Ok(Err(differ));
        }
    }
    Ok(Ok(()))
}
