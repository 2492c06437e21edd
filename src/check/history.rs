//! Checks the history file by computing every node again from the commit ids.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use trunkline_core::hash::{Digest, hex};
use trunkline_core::history::{HISTORY, MountainRange, Subtree};
use trunkline_core::record::CommitRecord;
use trunkline_core::store::disk::Disk;
use trunkline_core::store::history_file::{
    HISTORY_FILE, HistoryFile, HistoryFileError, nodes_covered, offset, replace_history,
};
use trunkline_core::store::manifest::CheckpointManifest;

use super::finding::{CheckReport, Fault, Finding, Part, Repair};

/// Number of nodes that are read at once.
const NODES_READ: u64 = 4096;
/// Most nodes of one kind that are listed.
const NODES_NAMED_MAX: usize = 100;

/// The commit ids of the versions that a checkpoint covers, as far as they are known: first from the log, then from the
/// file.
pub(super) struct CommitIds<'a> {
    manifest: &'a CheckpointManifest,
    of_log: &'a BTreeMap<u64, Digest>,
    stored: StoredNodes,
}

/// The nodes in the file, read ahead.
struct StoredNodes {
    file: Option<HistoryFile>,
    count: u64,
    start: u64,
    buffer: Vec<Digest>,
}

impl StoredNodes {
    /// Returns a node, if the file has it.
    fn get(&mut self, position: u64) -> Result<Option<Digest>, HistoryFileError> {
        let Some(file) = self.file.as_ref().filter(|_| position < self.count) else {
            return Ok(None);
        };
        let end = self.start + self.buffer.len() as u64;
        if !(self.start..end).contains(&position) {
            let count = (self.count - position).min(NODES_READ) as usize;
            self.buffer = file.nodes(position, count)?;
            self.start = position;
        }
        Ok(self.buffer.get((position - self.start) as usize).copied())
    }
}

impl<'a> CommitIds<'a> {
    pub(super) fn open(
        disk: &dyn Disk,
        directory: &Path,
        manifest: &'a CheckpointManifest,
        of_log: &'a BTreeMap<u64, Digest>,
    ) -> Self {
        let file = HistoryFile::open_unchecked(disk, directory).ok();
        let count = file.as_ref().and_then(|file| file.node_count().ok());
        Self {
            manifest,
            of_log,
            stored: StoredNodes {
                file,
                count: count.unwrap_or(0),
                start: 0,
                buffer: Vec::new(),
            },
        }
    }

    /// Returns the commit id that the rest of the directory states, if any.
    fn known(&self, version: u64) -> Option<Digest> {
        let record = &self.manifest.record;
        if version == 0 {
            return Some(CommitRecord::genesis(record.tree_id).commit_id());
        }
        if version == record.version {
            return Some(record.commit_id());
        }
        self.of_log.get(&version).copied()
    }

    /// Writes the file again. The commit ids must have been proven.
    pub(super) fn rewrite(
        mut self,
        disk: &dyn Disk,
        directory: &Path,
    ) -> Result<(), HistoryFileError> {
        let tree_id = self.manifest.record.tree_id;
        let mut range = MountainRange::default();
        let versions = 0..=self.manifest.record.version;
        let nodes = versions.flat_map(|version| match self.id(version) {
            Err(error) => vec![Err(error)],
            Ok(id) => {
                let mut nodes = vec![Ok(id)];
                range.append_noting(&HISTORY, &id, |node| nodes.push(Ok(*node)));
                nodes
            }
        });
        replace_history(disk, directory, &tree_id, nodes)
    }

    /// Returns a proven commit id.
    fn id(&mut self, version: u64) -> io::Result<Digest> {
        if let Some(id) = self.known(version) {
            return Ok(id);
        }
        let stored = self.stored.get(leaf_position(version));
        let stored = stored.map_err(io::Error::other)?;
        stored.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

fn leaf_position(version: u64) -> u64 {
    let leaf = Subtree {
        first: version,
        height: 0,
    };
    leaf.position()
}

/// Examines the history file of a directory. `of_log` has the commit ids that the log states.
pub(super) fn examine(
    disk: &dyn Disk,
    directory: &Path,
    manifest: &CheckpointManifest,
    of_log: &BTreeMap<u64, Digest>,
    report: &mut CheckReport,
) {
    // The file is unused before the first checkpoint.
    if manifest.record.version == 0 {
        return;
    }
    let mut found = files(disk, directory, manifest);
    let mut walk = Walk {
        ids: CommitIds::open(disk, directory, manifest, of_log),
        range: MountainRange::default(),
        apart: Vec::new(),
        inconsistent: Vec::new(),
        stack: Vec::new(),
        path: directory.join(HISTORY_FILE),
    };
    let proven = walk.run(&mut found);
    report.commit_ids = walk.range.count();
    if proven {
        for (position, expected, node) in std::mem::take(&mut walk.apart) {
            found.push(walk.node(position, &expected, &node));
        }
    } else {
        for (position, expected, node) in std::mem::take(&mut walk.inconsistent) {
            found.push(walk.node(position, &expected, &node));
        }
        found.push(walk.unproven());
    }
    for mut finding in found {
        finding.repair = proven.then_some(Repair::History);
        report.add(finding);
    }
}

/// Returns the fault of the file as such.
fn files(disk: &dyn Disk, directory: &Path, manifest: &CheckpointManifest) -> Vec<Finding> {
    let path = directory.join(HISTORY_FILE);
    let new = |error: HistoryFileError| match error {
        HistoryFileError::Missing { .. } => Finding::new(Part::History, &path, Fault::Missing),
        error => Finding::new(Part::History, &path, error),
    };
    let file = match HistoryFile::open_unchecked(disk, directory) {
        Ok(file) => file,
        Err(error) => return vec![new(error)],
    };
    let mut found = Vec::new();
    if let Err(error) = file.check_header(&manifest.record.tree_id) {
        found.push(new(error).at(0));
    }
    let needed = nodes_covered(manifest.record.version);
    match file.node_count() {
        Err(error) => found.push(new(error)),
        Ok(count) if count < needed => {
            let (needed, found_bytes) = (offset(needed), offset(count));
            let error = HistoryFileError::Short {
                path: path.clone(),
                found: found_bytes,
                needed,
            };
            found.push(new(error).at(found_bytes));
        }
        Ok(_) => {}
    }
    found
}

/// A walk over all nodes.
struct Walk<'a> {
    ids: CommitIds<'a>,
    /// The history that follows from the commit ids.
    range: MountainRange,
    /// Nodes that do not follow from the commit ids: position, computed digest, stored digest.
    apart: Vec<(u64, Digest, Digest)>,
    /// Nodes that are not the hash of the two below them in the file.
    inconsistent: Vec<(u64, Digest, Digest)>,
    /// The digests of the peaks in the file, each with its height.
    stack: Vec<(u32, Digest)>,
    path: PathBuf,
}

impl Walk<'_> {
    /// Walks over all versions that the checkpoint covers. Returns whether its record proves the commit ids.
    fn run(&mut self, found: &mut Vec<Finding>) -> bool {
        let record = self.ids.manifest.record.clone();
        let mut proven = true;
        for version in 0..=record.version {
            if version == record.version {
                proven = self.range.digest(&HISTORY) == record.history_digest;
            }
            let position = leaf_position(version);
            let stored = match self.ids.stored.get(position) {
                Ok(stored) => stored,
                Err(error) => {
                    found.push(Finding::new(Part::History, &self.path, error).at(offset(position)));
                    // No more of it is read.
                    self.ids.stored.count = 0;
                    None
                }
            };
            let known = self.ids.known(version);
            let Some(id) = known.or(stored) else {
                return false;
            };
            if let Some(stored) = stored.filter(|stored| *stored != id)
                && found.len() < NODES_NAMED_MAX
            {
                let fault = Fault::Differs {
                    what: "the commit id",
                    expected: hex(&id),
                    found: hex(&stored),
                };
                let finding = Finding::new(Part::History, &self.path, fault);
                found.push(finding.at(offset(position)).of_versions(version..=version));
            }
            self.append(position, &id);
        }
        proven && self.range == self.ids.manifest.history
    }

    /// Appends a commit id, and compares the nodes that it completes.
    fn append(&mut self, position: u64, id: &Digest) {
        let mut completed = Vec::new();
        self.range
            .append_noting(&HISTORY, id, |node| completed.push(*node));
        let mut peak = (0, HISTORY.leaf_digest(id));
        for (position, expected) in (position + 1..).zip(completed) {
            let left = self.stack.pop().map_or([0; 32], |(_, left)| left);
            let Ok(Some(stored)) = self.ids.stored.get(position) else {
                // The computed node stands in for a missing one.
                peak = (peak.0 + 1, expected);
                continue;
            };
            let hashed = HISTORY.node_digest(&left, &peak.1);
            if stored != expected && self.apart.len() < NODES_NAMED_MAX {
                self.apart.push((position, expected, stored));
            }
            if stored != hashed && self.inconsistent.len() < NODES_NAMED_MAX {
                self.inconsistent.push((position, hashed, stored));
            }
            peak = (peak.0 + 1, stored);
        }
        self.stack.push(peak);
    }

    fn node(&self, position: u64, expected: &Digest, found: &Digest) -> Finding {
        let fault = Fault::Differs {
            what: "a node above commit ids",
            expected: hex(expected),
            found: hex(found),
        };
        Finding::new(Part::History, &self.path, fault).at(offset(position))
    }

    /// Returns the finding for commit ids that do not lead to the history in the checkpoint's record.
    fn unproven(&self) -> Finding {
        let manifest = self.ids.manifest;
        let fault = Fault::Differs {
            what: "the history that follows from the commit ids",
            expected: hex(&manifest.history.digest(&HISTORY)),
            found: hex(&self.range.digest(&HISTORY)),
        };
        let versions = 0..=manifest.record.version;
        Finding::new(Part::History, &self.path, fault).of_versions(versions)
    }
}
