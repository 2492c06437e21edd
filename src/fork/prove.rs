//! Proofs of keys of a fork.
//!
//! They lead to the roots of the fork. No record is part of them, since no version has these roots yet.

use trunkline_core::kzg::{G1Bytes, slot_value};
use trunkline_core::proof::{Draft, Proof, Top, TopSlots, open_tops};

use super::Fork;
use crate::snapshot::prove::{ProveOptions, SnapshotProveError, TopKind, claims};

impl Fork {
    /// Proves for each key its value in the fork, or that it has none.
    ///
    /// A proof with a hash top is checked against the state digest of the fork
    /// ([`Expected::StateDigest`](crate::core::proof::Expected::StateDigest)), one with a KZG top against its KZG root
    /// ([`Expected::KzgRoot`](crate::core::proof::Expected::KzgRoot)). Once the fork is committed, both can be checked
    /// against the root of the version. The proof contains no commit record, so it cannot be checked against a commit id.
    ///
    /// # Errors
    ///
    /// Fails if a key is empty or too long, if there is no key or too many, or if a key cannot be read ([`Self::get`]).
    ///
    /// ```
    /// use trunkline::core::proof::{Claim, Expected, verify};
    /// # let directory = tempfile::tempdir()?;
    /// let engine = trunkline::Engine::open_blocking(trunkline::Config::in_directory(directory.path()))?;
    /// let mut fork = engine.fork()?;
    /// let mut batch = trunkline::Batch::new();
    /// batch.put("alice", "10");
    /// fork.apply(batch)?;
    /// let proof = fork.prove(["alice", "bob"], trunkline::TopKind::Kzg)?;
    /// let expected = Expected::KzgRoot { tree_id: engine.params().tree_id(), kzg_root: fork.kzg_root()? };
    /// assert_eq!(verify(&proof, &expected)?.claim(b"bob"), Some(&Claim::Absent));
    /// # drop(fork);
    /// # engine.shutdown_blocking()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prove<K: AsRef<[u8]>>(
        &mut self,
        keys: impl IntoIterator<Item = K>,
        top: TopKind,
    ) -> Result<Proof, SnapshotProveError> {
        let options = ProveOptions {
            top,
            ..ProveOptions::default()
        };
        self.prove_with(keys, &options)
    }

    /// Works like [`Self::prove`], with more options.
    ///
    /// # Errors
    ///
    /// As [`Self::prove`].
    pub fn prove_with<K: AsRef<[u8]>>(
        &mut self,
        keys: impl IntoIterator<Item = K>,
        options: &ProveOptions,
    ) -> Result<Proof, SnapshotProveError> {
        let roots = self.roots()?.clone();
        let kzg_root = match options.top {
            TopKind::Kzg => Some(self.kzg_root()?),
            TopKind::Hash => None,
        };
        let (state, base) = (self.state(), &self.base);
        let leaves = |range| Ok::<_, SnapshotProveError>(base.cold_leaves(range)?);
        let draft = Draft::walk_fork(&self.tree, &roots, &state.params, keys, leaves);
        base.check_readable()?;
        let draft = draft?;
        state.metrics.keys_proven(draft.entries().len());
        let claims = claims(state, &draft, options.values, |leaf| self.value(leaf))?;
        let (top, opening) = match kzg_root {
            None => (draft.hash_top(&roots), None),
            Some(kzg_root) => {
                let values = roots.slots.each_ref().map(slot_value);
                let slots = TopSlots {
                    version: roots.version,
                    kzg_root: G1Bytes(kzg_root),
                    values: &values,
                    slots: draft.slots(),
                };
                let opening = open_tops(&state.committer, &[slots]);
                (Top::Kzg { kzg_root }, opening)
            }
        };
        Ok(Proof {
            params: state.params,
            versions: vec![draft.finish(claims, None, top)],
            opening,
        })
    }
}
