//! The proofs of a snapshot about its version other than those of keys: its ancestors, its submissions, its roots.

use trunkline_actors::state::evidence::{self, EvidenceError};
use trunkline_actors::state::history::HistoryError;
use trunkline_core::audit::AuditProof;
use trunkline_core::evidence::Evidence;
use trunkline_core::hash::Digest;
use trunkline_core::history::{AncestorProof, ConsistencyProof};

use super::Snapshot;

impl Snapshot {
    /// Proves that an older version is an ancestor of this one, with its commit id. The older version may have expired.
    ///
    /// # Errors
    ///
    /// Fails if `version` is not older than this one, or if the history file cannot be read.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let config = trunkline::Config::in_directory(directory.path());
    /// let engine = trunkline::Engine::open_blocking(config)?;
    /// let older = engine.put_blocking("alice", "10")?.durable_blocking()?;
    /// engine.put_blocking("alice", "20")?.durable_blocking()?;
    ///
    /// let head = engine.snapshot();
    /// let proof = head.prove_ancestor(older.version)?;
    /// // Elsewhere, where the head's commit id is trusted:
    /// assert_eq!(proof.verify(&head.commit_id())?.commit_id, older.commit_id);
    /// # drop(head);
    /// # engine.shutdown_blocking()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prove_ancestor(&self, version: u64) -> Result<AncestorProof, HistoryError> {
        self.state.history.prove_ancestor(&self.version, version)
    }

    /// Proves that the history of this version continues that of an older one. If the older version is still kept, the
    /// proof contains its commit record; otherwise the client adds the record that it holds.
    ///
    /// # Errors
    ///
    /// Fails if `older_version` is not older than this one, or if the history file cannot be read.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let config = trunkline::Config::in_directory(directory.path());
    /// let engine = trunkline::Engine::open_blocking(config)?;
    /// engine.put_blocking("alice", "10")?.durable_blocking()?;
    /// let held = engine.snapshot().record().clone(); // a client keeps this
    /// engine.put_blocking("alice", "20")?.durable_blocking()?;
    ///
    /// let head = engine.snapshot();
    /// let proof = head.prove_consistency(held.version)?.with_older(held.clone())?;
    /// assert!(proof.verify(&held.commit_id(), &head.commit_id()).is_ok());
    /// # drop(head);
    /// # engine.shutdown_blocking()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prove_consistency(&self, older_version: u64) -> Result<ConsistencyProof, HistoryError> {
        let (history, kept) = (&self.state.history, &self.state.versions);
        let mut record = kept.get(older_version).map(|older| older.record.clone());
        if let (None, Some(past)) = (&record, &self.state.past) {
            // Without the record, the client adds the one that it holds.
            let found = past.version(older_version).ok().flatten();
            record = found.map(|older| older.record);
        }
        history.prove_consistency(&self.version, older_version, record)
    }

    /// Returns the commit ids of this version and all before it, from version 0 on. They are not checked; the caller
    /// can check them against the history digest of the record.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let config = trunkline::Config::in_directory(directory.path());
    /// let engine = trunkline::Engine::open_blocking(config)?;
    /// engine.put_blocking("alice", "10")?.durable_blocking()?;
    /// let snapshot = engine.snapshot();
    /// let ids = snapshot.commit_ids().collect::<Result<Vec<_>, _>>()?;
    /// assert_eq!(ids.len(), 2); // the empty state, and version 1
    /// assert_eq!(ids[1], snapshot.commit_id());
    /// # drop(snapshot);
    /// # engine.shutdown_blocking()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn commit_ids(&self) -> impl Iterator<Item = Result<Digest, HistoryError>> + '_ {
        let history = &self.state.history;
        (0..=self.version()).map(|version| Ok(history.commit_id(version)?))
    }

    /// Returns the evidence about a submission of this version: its position in the order of submissions, and its
    /// outcome.
    ///
    /// # Errors
    ///
    /// Fails if the submission is not one of this version, or if the version was read from a checkpoint, which has no
    /// outcomes.
    pub fn evidence(&self, sequence: u64) -> Result<Evidence, EvidenceError> {
        evidence::of_version(&self.version, sequence)
    }

    /// Returns a proof that the state digest and the KZG root belong to the same state. It contains all 128 slot
    /// digests and the commit record. Computes one commitment (2 ms), and another one if the version has no KZG root
    /// yet.
    ///
    /// ```
    /// use trunkline::core::audit::{AuditBinding, verify};
    /// use trunkline::core::proof::Expected;
    /// # let directory = tempfile::tempdir()?;
    /// # let config = trunkline::Config::in_directory(directory.path());
    /// let engine = trunkline::Engine::open_blocking(config)?;
    /// engine.put_blocking("alice", "10")?.durable_blocking()?;
    /// let snapshot = engine.snapshot();
    /// let audit = snapshot.audit();
    /// let verified = verify(&audit, &Expected::CommitId(snapshot.commit_id()))?;
    /// assert_eq!(verified.binding, AuditBinding::BothRoots);
    /// assert_eq!(verified.kzg_root, snapshot.kzg_root());
    /// # drop(snapshot);
    /// # engine.shutdown_blocking()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn audit(&self) -> AuditProof {
        let (state, version) = (&self.state, &self.version);
        AuditProof::make(
            &state.committer,
            &state.params,
            &version.roots,
            Some(version.record.clone()),
            self.kzg_root(),
        )
    }
}
