//! The checks of a frame that do not need the tree, made before any of it is applied.

use trunkline_actors::state::versions::provisional_before;
use trunkline_core::batch::{PreparedBatch, provisional_root};
use trunkline_core::outcome::{SubmissionOutcome, decode_outcomes};
use trunkline_core::params::TreeParams;
use trunkline_core::record::CommitRecord;
use trunkline_core::store::effect::decode_effects;
use trunkline_core::store::log::LogEntry;

use super::ApplyError;

/// Decodes and hashes the effects of an entry, and compares its outcomes with its record.
pub(super) fn content(
    params: &TreeParams,
    entry: &LogEntry,
) -> Result<(PreparedBatch, Vec<SubmissionOutcome>), ApplyError> {
    let record = &entry.record;
    let version = record.version;
    let outcomes = decode_outcomes(&entry.outcomes);
    let outcomes = outcomes.filter(|(_, digest)| *digest == record.outcomes_digest);
    let (outcomes, _) = outcomes.ok_or(ApplyError::Outcomes { version })?;
    let effects = decode_effects(params, &entry.effects)
        .map_err(|source| ApplyError::Effects { version, source })?;
    let bytes = entry.effects.len();
    Ok((
        PreparedBatch::of_effects(effects.into_iter(), bytes),
        outcomes,
    ))
}

/// Checks that a record, with the outcomes that it names, follows the last one.
pub(super) fn follows(
    last: &CommitRecord,
    record: &CommitRecord,
    outcomes: &[SubmissionOutcome],
) -> Result<(), ApplyError> {
    let version = record.version;
    let (here, primary) = (last.commit_id(), record.parent);
    if primary != here {
        return Err(ApplyError::Diverged {
            version: last.version,
            primary,
            here,
        });
    }
    if record.open_epoch < last.open_epoch {
        return Err(ApplyError::Epoch {
            version,
            epoch: record.open_epoch,
            last: last.open_epoch,
        });
    }
    let first = outcomes.first().map(|outcome| outcome.sequence);
    let mut are_in_order = first == Some(record.first_sequence);
    let mut root = provisional_before(last, record);
    let mut sequence = last.last_sequence;
    for outcome in outcomes {
        are_in_order &= sequence.checked_add(1) == Some(outcome.sequence);
        root = provisional_root(&root, &outcome.submission);
        sequence = outcome.sequence;
    }
    match are_in_order && sequence == record.last_sequence && root == record.provisional_root {
        true => Ok(()),
        false => Err(ApplyError::Submissions { version }),
    }
}
