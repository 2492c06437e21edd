//! The commit ids of all versions, for proofs over the history: those that a checkpoint covers are in the
//! file `HISTORY`, later ones in memory until one does.
//!
//! Memory holds nodes in the order of the file, 64 bytes a version, so that a proof takes a few looks
//! wherever they are. Not here: the file (`core::store::history_file`), and when to store.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

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

/// Why a snapshot gave no proof over the history.
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
    /// The history of a snapshot ends before its own version.
    #[error(
        "version {version} is not before version {head}, that of the snapshot: take a later snapshot"
    )]
    NotOlder {
        /// The version that was to be proven.
        version: u64,
        /// That of the snapshot.
        head: u64,
    },
    /// The file with the history failed, or is damaged.
    #[error(transparent)]
    File(#[from] HistoryFileError),
}

/// All commit ids up to the last durable version, and the nodes above them.
#[derive(Debug)]
pub struct History {
    inner: RwLock<Inner>,
}

#[derive(Debug)]
struct Inner {
    range: MountainRange,
    /// Has the first so many nodes.
    file: Option<Arc<HistoryFile>>,
    stored: u64,
    /// Those after them.
    nodes: VecDeque<Digest>,
}

impl History {
    /// As of a checkpoint.
    pub fn new(marker: &CheckpointManifest, file: Option<HistoryFile>) -> Self {
        let (stored, nodes) = match file {
            Some(_) => (nodes_covered(marker.record.version), VecDeque::new()),
            // No checkpoint yet: the empty state alone.
            None => (0, VecDeque::from([marker.record.commit_id()])),
        };
        Self {
            inner: RwLock::new(Inner {
                range: marker.history.clone(),
                file: file.map(Arc::new),
                stored,
                nodes,
            }),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the next version.
    pub fn push(&self, version: u64, commit_id: &Digest) {
        let inner = &mut *self.write();
        debug_assert_eq!(inner.range.count(), version);
        let nodes = &mut inner.nodes;
        nodes.push_back(*commit_id);
        let note = |node: &Digest| nodes.push_back(*node);
        inner.range.append_noting(&HISTORY, commit_id, note);
    }

    /// How many nodes the file has, and those that a checkpoint of `version` adds.
    pub fn unstored(&self, version: u64) -> (u64, Vec<Digest>) {
        let inner = self.read();
        let count = nodes_covered(version).saturating_sub(inner.stored);
        let nodes = inner.nodes.iter().take(count as usize).copied();
        (inner.stored, nodes.collect())
    }

    /// The file has everything up to `version` now.
    pub fn stored(&self, version: u64, file: Option<HistoryFile>) {
        let inner = &mut *self.write();
        let stored = nodes_covered(version);
        let count = stored.saturating_sub(inner.stored) as usize;
        inner.nodes.drain(..count.min(inner.nodes.len()));
        inner.stored = stored;
        inner.file = file.map(Arc::new);
    }

    /// A node; any digest if there is no such node, which no proof made of it survives.
    fn node(&self, position: u64) -> Result<Digest, HistoryFileError> {
        let inner = self.read();
        if let Some(place) = position.checked_sub(inner.stored) {
            return Ok(inner.nodes.get(place as usize).copied().unwrap_or_default());
        }
        let file = inner.file.clone();
        drop(inner);
        file.map_or(Ok(Digest::default()), |file| file.node(position))
    }

    fn commit_id(&self, version: u64) -> Result<Digest, HistoryFileError> {
        let leaf = Subtree {
            first: version,
            height: 0,
        };
        self.node(leaf.position())
    }

    fn digest(&self, subtree: Subtree) -> Result<Digest, HistoryFileError> {
        subtree_digest(subtree, |position| self.node(position))
    }

    /// What is handed out was checked: a node that was damaged in the file is found here.
    fn damaged(&self, version: u64) -> HistoryError {
        let file = self.read().file.clone();
        let path = file.map_or(PathBuf::from(HISTORY_FILE), |file| file.path().to_owned());
        HistoryFileError::Node { path, version }.into()
    }

    /// That `version` is an ancestor of a head.
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

    /// That the history up to `older` is the beginning of that of a head.
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

    fn commit(number: u64, history: &MountainRange) -> Version {
        let record = CommitRecord {
            version: number,
            history_digest: history.digest(&HISTORY),
            ..CommitRecord::genesis(TREE)
        };
        let roots = Roots::of(number, 0, Box::new([[0; 32]; 128]));
        Version::new(record, roots, history.clone(), 0)
    }

    #[test]
    fn proofs_are_the_same_wherever_the_nodes_are() {
        let (disk, here) = (SimulatedDisk::new(1), Path::new(""));
        let mut marker = CheckpointManifest::genesis(TREE);
        let history = History::new(&marker, None);
        let mut range = marker.history.clone();
        let mut commits = vec![commit(0, &MountainRange::default())];
        let mut writer = None;
        for number in 1..40 {
            let version = commit(number, &range);
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
                let proof = proof.with_older(record);
                assert!(proof.verify(&id, &version.commit_id).is_ok());
            }
            commits.push(version);
        }
        assert_eq!(
            history.read().nodes.len() as u64,
            nodes_covered(39) - nodes_covered(20)
        );
    }
}
