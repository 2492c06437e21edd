//! The commit ids of all versions, for proofs over the history.
//!
//! Versions that a checkpoint covers are in the file `HISTORY`. Later ones are in memory, 64 bytes a version, in the same
//! order of nodes as in the file. So a proof takes a few lookups wherever the nodes are. `checkpoint` stores the nodes.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::RwLock;
use trunkline_core::hash::Digest;
use trunkline_core::history::{
    AncestorProof, ConsistencyProof, HISTORY, Inclusion, MountainRange, Subtree,
};
use trunkline_core::record::CommitRecord;
use trunkline_core::store::history_file::{
    HISTORY_FILE, HistoryFile, HistoryFileError, nodes_covered, subtree_digest,
};
use trunkline_core::store::manifest::CheckpointManifest;

use crate::state::versions::Version;

/// The reason for which a snapshot could not make a proof over the history.
///
/// ```
/// use trunkline::HistoryError;
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// let engine = trunkline::Engine::open_blocking(config)?;
/// let error = engine.snapshot().prove_ancestor(3).unwrap_err();
/// assert!(matches!(error, HistoryError::NotOlder { version: 3, head: 0 }));
/// assert!(error.to_string().ends_with("take a later snapshot"));
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The version is not older than the snapshot.
    #[error(
        "version {version} is not before version {head}, that of the snapshot: take a later snapshot"
    )]
    NotOlder {
        /// The version that was to be proven.
        version: u64,
        /// The version of the snapshot.
        head: u64,
    },
    /// The history file could not be read, or is damaged.
    #[error(transparent)]
    File(#[from] HistoryFileError),
}

/// The commit ids of all durable versions, and the nodes above them.
#[derive(Debug)]
pub struct History {
    nodes: RwLock<Nodes>,
}

#[derive(Debug)]
struct Nodes {
    range: MountainRange,
    file: Option<Arc<HistoryFile>>,
    /// The number of nodes in the file.
    stored: u64,
    /// The nodes after those in the file.
    later: VecDeque<Digest>,
}

impl History {
    /// Returns the bytes of the nodes that are in memory.
    pub fn memory_bytes(&self) -> usize {
        self.nodes.read().later.capacity() * size_of::<Digest>()
    }

    /// Creates the history of a checkpoint.
    pub fn new(marker: &CheckpointManifest, file: Option<HistoryFile>) -> Self {
        let (stored, later) = match file {
            Some(_) => (nodes_covered(marker.record.version), VecDeque::new()),
            // Before the first checkpoint there is only the empty state.
            None => (0, VecDeque::from([marker.record.commit_id()])),
        };
        Self {
            nodes: RwLock::new(Nodes {
                range: marker.history.clone(),
                file: file.map(Arc::new),
                stored,
                later,
            }),
        }
    }

    /// Adds the next version.
    pub fn push(&self, version: u64, commit_id: &Digest) {
        let Nodes { range, later, .. } = &mut *self.nodes.write();
        debug_assert_eq!(range.count(), version);
        later.push_back(*commit_id);
        range.append_noting(&HISTORY, commit_id, |node| later.push_back(*node));
    }

    /// Returns the number of nodes in the file, and the nodes that a checkpoint of `version` adds to them.
    pub fn unstored(&self, version: u64) -> (u64, Vec<Digest>) {
        let nodes = self.nodes.read();
        let count = nodes_covered(version).saturating_sub(nodes.stored);
        let unstored = nodes.later.iter().take(count as usize);
        (nodes.stored, unstored.copied().collect())
    }

    /// Frees the nodes up to `version`, which the file has now.
    pub fn stored(&self, version: u64, file: Option<HistoryFile>) {
        let nodes = &mut *self.nodes.write();
        let stored = nodes_covered(version);
        let count = stored.saturating_sub(nodes.stored) as usize;
        nodes.later.drain(..count.min(nodes.later.len()));
        nodes.stored = stored;
        nodes.file = file.map(Arc::new);
    }

    /// Proves that `version` is an ancestor of `head`.
    ///
    /// # Errors
    ///
    /// Fails if `version` is not older than `head`, or if the file cannot be read or is damaged.
    pub fn prove_ancestor(
        &self,
        head: &Version,
        version: u64,
    ) -> Result<AncestorProof, HistoryError> {
        check_older(version, head)?;
        let digest = |subtree| self.digest(subtree);
        let proof = AncestorProof {
            head: head.record.clone(),
            version,
            commit_id: self.commit_id(version)?,
            inclusion: Inclusion::prove(head.number(), version, digest)?,
        };
        match proof.verify(&head.commit_id) {
            Ok(_) => Ok(proof),
            Err(_) => Err(self.damaged(version)),
        }
    }

    /// Proves that the history up to `older` is the beginning of the history of `head`.
    ///
    /// # Errors
    ///
    /// As [`Self::prove_ancestor`].
    pub fn prove_consistency(
        &self,
        head: &Version,
        older: u64,
        older_record: Option<CommitRecord>,
    ) -> Result<ConsistencyProof, HistoryError> {
        check_older(older, head)?;
        let digest = |subtree| self.digest(subtree);
        let record = head.record.clone();
        let proof = ConsistencyProof::prove(older, older_record, record, digest)?;
        match proof.check_head(older, &self.commit_id(older)?) {
            Ok(()) => Ok(proof),
            Err(_) => Err(self.damaged(older)),
        }
    }

    /// Returns a node, or zeros if there is none; no proof that contains those verifies.
    fn node(&self, position: u64) -> Result<Digest, HistoryFileError> {
        let nodes = self.nodes.read();
        if let Some(place) = position.checked_sub(nodes.stored) {
            return Ok(nodes.later.get(place as usize).copied().unwrap_or_default());
        }
        let file = nodes.file.clone();
        drop(nodes);
        file.map_or(Ok(Digest::default()), |file| file.node(position))
    }

    /// Returns the commit id of a durable version, as the file or memory has it; only a proof shows that it is correct.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read.
    pub fn commit_id(&self, version: u64) -> Result<Digest, HistoryFileError> {
        let leaf = Subtree {
            first: version,
            height: 0,
        };
        self.node(leaf.position())
    }

    fn digest(&self, subtree: Subtree) -> Result<Digest, HistoryFileError> {
        subtree_digest(subtree, |position| self.node(position))
    }

    /// Returns the error for a proof that does not verify: a node in the file is damaged.
    fn damaged(&self, version: u64) -> HistoryError {
        let nodes = self.nodes.read();
        let path = nodes.file.as_ref().map(|file| file.path().to_owned());
        let path = path.unwrap_or_else(|| PathBuf::from(HISTORY_FILE));
        HistoryFileError::Node { path, version }.into()
    }
}

fn check_older(version: u64, head: &Version) -> Result<(), HistoryError> {
    let head = head.number();
    match version < head {
        true => Ok(()),
        false => Err(HistoryError::NotOlder { version, head }),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use trunkline_core::store::history_file::HistoryWriter;
    use trunkline_core::store::simulated::SimulatedDisk;
    use trunkline_core::tree::Roots;

    use super::*;

    const TREE: Digest = [1; 32];

    fn commit(number: u64, parent: Digest, history: &MountainRange) -> Version {
        let record = CommitRecord {
            version: number,
            parent,
            history_digest: history.digest(&HISTORY),
            ..CommitRecord::genesis(TREE)
        };
        let roots = Roots::of(number, 0, Box::new([[0; 32]; 128]));
        Version::new(record, roots, history.clone(), None, 0)
    }

    #[test]
    fn proofs_are_the_same_wherever_the_nodes_are() {
        let (disk, here) = (SimulatedDisk::new(1), Path::new(""));
        let mut marker = CheckpointManifest::genesis(TREE);
        let history = History::new(&marker, None);
        let mut range = marker.history.clone();
        let mut commits = vec![commit(0, [0; 32], &MountainRange::default())];
        let mut writer = None;
        for number in 1..40 {
            let parent = commits[number as usize - 1].commit_id;
            let version = commit(number, parent, &range);
            range.append(&HISTORY, &version.commit_id);
            history.push(number, &version.commit_id);
            if matches!(number, 1 | 2 | 7 | 20) {
                let (stored, nodes) = history.unstored(number);
                let writer = writer.get_or_insert_with(|| {
                    HistoryWriter::open(&disk, here, &TREE, stored).unwrap()
                });
                writer.append(&nodes).unwrap();
                marker.record = version.record.clone();
                marker.history = range.clone();
                let file = HistoryFile::open(&disk, here, &marker).unwrap();
                history.stored(number, file);
            }
            for older in 0..number {
                let proof = history.prove_ancestor(&version, older).unwrap();
                let id = commits[older as usize].commit_id;
                assert_eq!(proof.verify(&version.commit_id).unwrap().commit_id, id);
                let record = commits[older as usize].record.clone();
                let proof = history.prove_consistency(&version, older, None).unwrap();
                let proof = proof.with_older(record).unwrap();
                assert!(proof.verify(&id, &version.commit_id).is_ok());
            }
            commits.push(version);
        }
        assert_eq!(
            history.nodes.read().later.len() as u64,
            nodes_covered(39) - nodes_covered(20)
        );
    }
}
