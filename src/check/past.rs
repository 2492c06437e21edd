//! Checks the archive of versions: reads every entry, compares every version with its commit id and its state digest,
//! and compares the keys and values of the oldest version with its digests.

use std::path::Path;

use trunkline_actors::state::State;
use trunkline_actors::state::past::{Past, PastError};
use trunkline_core::store::leaves::LEAVES_DIRECTORY;

use super::finding::{CheckReport, Fault, Finding, Part};
use crate::error::OpenError;
use crate::open::read_only::ReadOnly;

/// Checks the archive in a directory, if there is one and the rest is sound.
pub(super) fn examine(directory: &Path, report: &mut CheckReport) -> Result<(), OpenError> {
    if !report.is_sound() {
        let unchecked = "archived versions, if there are any: they are compared with the rest";
        report.unchecked.push(unchecked.to_owned());
        return Ok(());
    }
    let tree = ReadOnly::open(directory)?;
    let state = tree.state();
    let Some(past) = &state.past else {
        return Ok(());
    };
    let stored = past.stored();
    report.archived_versions = stored.end - stored.start;
    let path = directory.join(LEAVES_DIRECTORY);
    let mut add = |version: u64, error: PastError| {
        let mut finding = Finding::new(Part::Past, &path, Fault::Past(error));
        finding.versions = Some(version..=version);
        report.add(finding);
    };
    if stored.is_empty() {
        return Ok(());
    }
    if let Err(error) = past.check_entries(&state.params) {
        add(version_of(&error, stored.start), error);
    }
    for version in stored.clone() {
        if let Err(error) = examine_version(state, past, version, version == stored.start) {
            add(version, error);
        }
    }
    Ok(())
}

fn examine_version(
    state: &State,
    past: &Past,
    version: u64,
    with_values: bool,
) -> Result<(), PastError> {
    let commit_id = || state.history.commit_id(version).ok();
    let opened = past.open(&state.reader, version, commit_id)?;
    let opened = opened.ok_or(PastError::Damaged {
        version,
        what: "the record is missing",
    })?;
    match with_values {
        true => past.check_values(&state.values, &opened),
        false => Ok(()),
    }
}

fn version_of(error: &PastError, oldest: u64) -> u64 {
    match error {
        PastError::Damaged { version, .. } => *version,
        _ => oldest,
    }
}
