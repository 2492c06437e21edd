//! Checks the log: its form, its chain, and the digests in its records.

use std::collections::BTreeMap;
use std::path::Path;

use trunkline_core::hash::Digest;
use trunkline_core::history::{HISTORY, MountainRange};
use trunkline_core::params::TreeParams;
use trunkline_core::record::CommitRecord;
use trunkline_core::store::disk::Disk;
use trunkline_core::store::log::{
    CommitLog, LAST_SEGMENT_FILE, LOG_DIRECTORY, LogEntry, LogEvent, LogFault, LogPosition,
    ProvenSegment, ReadLogError, SegmentName, prove_last_segment,
};
use trunkline_core::store::manifest::CheckpointManifest;
use trunkline_core::store::reverts::KnownStates;

use super::finding::{CheckReport, Fault, Finding, Part, Repair};
use crate::error::ReplayError;
use crate::open::replay::{check_history, check_outcomes, decode};

/// The facts that the log provides to the other checks.
#[derive(Debug, Default)]
pub(super) struct LogFacts {
    /// Commit ids of the versions up to the checkpoint.
    pub(super) commit_ids: BTreeMap<u64, Digest>,
    /// True if the log has all versions from the first on, each following the previous one.
    pub(super) from_first: bool,
}

/// Examines the log of a tree.
pub(super) fn examine(
    disk: &dyn Disk,
    directory: &Path,
    tree: (&Digest, Option<&TreeParams>),
    manifest: Option<&CheckpointManifest>,
    known_last: Option<Digest>,
    report: &mut CheckReport,
) -> LogFacts {
    let log = directory.join(LOG_DIRECTORY);
    let (tree_id, params) = tree;
    let genesis = LogPosition::of(&CommitRecord::genesis(*tree_id));
    let mut walk = Walk {
        log: &log,
        params,
        manifest,
        genesis,
        history: None,
        known: KnownStates::default(),
        last: None,
        is_damaged: false,
        last_segment: None,
        facts: LogFacts::default(),
        report,
    };
    let from = manifest.map(|manifest| LogPosition::of(&manifest.record));
    let examined = CommitLog::examine(disk, &log, tree_id, from, &mut |event| walk.hear(event));
    let (is_damaged, last_segment) = (walk.is_damaged, walk.last_segment.take());
    let mut facts = walk.facts;
    facts.from_first &= !is_damaged;
    report.segments = examined.segments.len() as u64;
    report.torn_bytes = examined.torn_bytes;
    report.last = examined.last;
    if examined.segments.is_empty() && from.is_none_or(|from| from.version == 0) {
        let finding = Finding::new(Part::Log, &log, Fault::Missing);
        report.add(finding.of_versions(1..=u64::MAX));
    }
    if let (Some(intent), Some(last)) = (manifest.and_then(|m| m.intent), examined.last)
        && last.version < intent
    {
        let last = last.version;
        let fault = Fault::LogEndsEarly { intent, last };
        report.add(Finding::new(Part::Log, &log, fault).of_versions(last + 1..=intent));
    }
    if let Some(mut finding) = last_segment {
        let is_known = known_last.is_some() && known_last == examined.last.map(|p| p.commit_id);
        let proven = match examined.segments.last() {
            Some(last) if is_known => Some(ProvenSegment::trusted(*last)),
            _ => prove_last_segment(disk, &log, tree_id, &examined.segments).unwrap_or(None),
        };
        let chains = !is_damaged && from.is_some();
        finding.repair = proven.filter(|_| chains).map(Repair::LastSegment);
        report.add(finding);
    }
    for path in examined.unnamed {
        report.add(Finding::new(Part::Leftover, path, Fault::Leftover));
    }
    facts
}

/// Passes every readable entry of the log to `take`.
pub(super) fn entries(
    disk: &dyn Disk,
    directory: &Path,
    tree_id: &Digest,
    mut take: impl FnMut(LogEntry),
) {
    let log = directory.join(LOG_DIRECTORY);
    CommitLog::examine(disk, &log, tree_id, None, &mut |event| {
        if let LogEvent::Entry { entry, .. } = event {
            take(*entry);
        }
    });
}

struct Walk<'a> {
    log: &'a Path,
    params: Option<&'a TreeParams>,
    manifest: Option<&'a CheckpointManifest>,
    genesis: LogPosition,
    /// The history before the next version, if it is known.
    history: Option<MountainRange>,
    known: KnownStates,
    last: Option<LogPosition>,
    /// True if anything other than the name of the last segment is damaged.
    is_damaged: bool,
    last_segment: Option<Finding>,
    facts: LogFacts,
    report: &'a mut CheckReport,
}

impl Walk<'_> {
    fn hear(&mut self, event: LogEvent) {
        match event {
            LogEvent::Fault(fault) => self.fault(fault),
            LogEvent::Entry { entry, follows } => self.entry(&entry, follows),
        }
    }

    fn fault(&mut self, fault: LogFault) {
        let (part, name, offset) = place(&fault.error);
        let path = name.map_or(self.log.to_owned(), |name| self.log.join(name));
        let mut finding = Finding::new(part, path, fault.error);
        (finding.offset, finding.versions) = (offset, fault.lost);
        if part == Part::LastSegment {
            self.last_segment = Some(finding);
            return;
        }
        self.is_damaged = true;
        self.report.add(finding);
    }

    fn entry(&mut self, entry: &LogEntry, follows: bool) {
        let record = &entry.record;
        let position = LogPosition::of(record);
        self.report.log_versions += 1;
        let continues = match self.last {
            None => record.version == 1 && record.parent == self.genesis.commit_id,
            Some(last) => {
                last.version.saturating_add(1) == record.version && record.parent == last.commit_id
            }
        };
        if self.last.is_none() {
            self.facts.from_first = continues;
        }
        self.facts.from_first &= continues && follows;
        let covered = self.manifest.map_or(0, |manifest| manifest.record.version);
        if record.version <= covered {
            self.facts
                .commit_ids
                .insert(record.version, position.commit_id);
        }
        self.history = self.history_before(record, continues && follows);
        self.compare(entry);
        if let Some(history) = &mut self.history {
            history.append(&HISTORY, &position.commit_id);
        }
        self.last = Some(position);
    }

    /// Returns the history before a version, if it can be determined.
    fn history_before(&mut self, record: &CommitRecord, continues: bool) -> Option<MountainRange> {
        let checkpoint = self.manifest.filter(|manifest| {
            manifest.record.version.saturating_add(1) == record.version
                && manifest.record.commit_id() == record.parent
        });
        if let Some(manifest) = checkpoint {
            return Some(manifest.history.clone());
        }
        if record.version == 1 && record.parent == self.genesis.commit_id {
            let mut range = MountainRange::default();
            range.append(&HISTORY, &self.genesis.commit_id);
            return Some(range);
        }
        self.history.take().filter(|_| continues)
    }

    /// Compares an entry with its own record.
    fn compare(&mut self, entry: &LogEntry) {
        let record = &entry.record;
        let history = match &self.history {
            Some(history) => check_history(record, history),
            None => Ok(()),
        };
        let effects = match self.params {
            Some(params) => decode(params, entry.clone()).map(drop),
            None => Ok(()),
        };
        let outcomes = check_outcomes(record, &entry.outcomes);
        let revert = self.known.check(record, &entry.outcomes);
        self.known.push(record);
        let revert = revert.map_err(ReplayError::from);
        for error in [history, effects, outcomes, revert]
            .into_iter()
            .filter_map(Result::err)
        {
            self.is_damaged = true;
            let finding = Finding::new(Part::Log, self.log, error);
            let versions = record.version..=record.version;
            self.report.add(finding.of_versions(versions));
        }
    }
}

/// Returns the part, the file and the offset that an error names.
fn place(error: &ReadLogError) -> (Part, Option<String>, Option<u64>) {
    use ReadLogError::*;
    let of =
        |segment: &SegmentName, offset: Option<u64>| (Part::Log, Some(segment.to_string()), offset);
    match error {
        LastSegment { .. } | LastSegmentFile { .. } | ReadLastSegment(_) => {
            (Part::LastSegment, Some(LAST_SEGMENT_FILE.to_owned()), None)
        }
        Io { path, .. } | Name { path } => {
            let name = path.file_name().map(|name| name.to_string_lossy());
            let name = name.filter(|name| name != LOG_DIRECTORY);
            (Part::Log, name.map(|name| name.into_owned()), None)
        }
        Header { segment, .. } => of(segment, Some(0)),
        Gap { segment, .. } => of(segment, None),
        Damaged {
            segment, offset, ..
        }
        | Unreadable {
            segment, offset, ..
        }
        | Chain {
            segment, offset, ..
        } => of(segment, Some(*offset)),
        Missing { .. } | Behind { .. } | OtherHistory { .. } => (Part::Log, None, None),
    }
}
