//! Proofs of snapshots: of one version or several, one at a time or many.
//!
//! Not here: what a proof is made of (`trunkline_core::proof`), and reading (`snapshot`).

use rayon::prelude::*;
use trunkline_core::kzg::{Fr, G1Bytes, Slot};
use trunkline_core::params::{TreeParams, WIDTH};
use trunkline_core::proof::{
    Claim, Draft, Proof, ProveError, Top, TopOpening, TopSlots, VersionProof, open_tops,
};
use trunkline_core::tree::Leaf;

use crate::snapshot::multi_get::in_shards;
use trunkline_actors::state::read::ReadError;

use crate::snapshot::Snapshot;

/// What stands above the slots of a proof.
///
/// ```
/// assert_ne!(trunkline::TopKind::Kzg, trunkline::TopKind::Hash);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TopKind {
    /// An opening of the KZG root: checked against a 48-byte root with a pairing. For keys of one slot
    /// it costs one commitment, unless the slot was opened at this version before; for keys of more
    /// slots two commitments, whatever their number.
    #[default]
    Kzg,
    /// Hashes up to the state digest: made and checked in microseconds; tied to the commit id by the
    /// commit record, which the proof carries.
    Hash,
}

/// Which values a proof shows; of the others it shows the hash.
///
/// ```
/// use trunkline::core::proof::Claim;
/// use trunkline::{ProveOptions, ShownValues};
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// let engine = trunkline::Engine::open_blocking(config)?;
/// engine.put_blocking("film", vec![7; 100_000])?.durable_blocking()?;
/// let options = ProveOptions {
///     values: ShownValues::UpTo { value_bytes_max: 1024 },
///     ..ProveOptions::default()
/// };
/// let proof = engine.snapshot().prove_with(["film"], &options)?;
/// let claim = &proof.versions[0].entries[0].claim;
/// assert!(matches!(claim, Claim::PresentHash(_)));
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShownValues {
    /// All of them.
    #[default]
    All,
    /// Those of at most so many bytes.
    UpTo {
        /// Bytes of the longest value shown.
        value_bytes_max: usize,
    },
    /// None: no value is read.
    None,
}

/// What a proof is to look like.
///
/// ```
/// use trunkline::{ProveOptions, ShownValues, TopKind};
/// let options = ProveOptions { top: TopKind::Hash, values: ShownValues::None };
/// assert_ne!(options, ProveOptions::default());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProveOptions {
    /// What stands above the slots.
    pub top: TopKind,
    /// Which values are in it.
    pub values: ShownValues,
}

/// Why a snapshot gave no proof.
///
/// ```
/// use trunkline::core::proof::ProveError;
/// use trunkline::{SnapshotProveError, TopKind};
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// let engine = trunkline::Engine::open_blocking(config)?;
/// let error = engine.snapshot().prove(["alice", ""], TopKind::Hash).unwrap_err();
/// assert!(matches!(error, SnapshotProveError::Keys(ProveError::KeyBytes(0))));
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
pub enum SnapshotProveError {
    /// No proof can be made of these keys.
    #[error(transparent)]
    Keys(#[from] ProveError),
    /// A value could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Snapshots that no one proof can be of.
    #[error("one proof is of different versions of one tree; each snapshot may be named once")]
    Versions,
}

impl Snapshot {
    /// Proves what is and what is not there, values included: on the caller's thread, but for the values of very many
    /// keys, which are read on the engine's pool for reads.
    pub fn prove<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        top: TopKind,
    ) -> Result<Proof, SnapshotProveError> {
        let options = ProveOptions {
            top,
            ..ProveOptions::default()
        };
        self.prove_with(keys, &options)
    }

    /// As [`Self::prove`], with more to choose.
    pub fn prove_with<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        options: &ProveOptions,
    ) -> Result<Proof, SnapshotProveError> {
        let part = Part::of(self, keys, options)?;
        let opening = open_parts(std::slice::from_ref(&part), options.top);
        Ok(Proof {
            params: self.state.params,
            versions: vec![part.proof],
            opening,
        })
    }

    /// A proof for each key by itself, in the order of the keys. Made on the engine's pool for reads; keys of a
    /// slot share its opening.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let config = trunkline::Config::in_directory(directory.path());
    /// let engine = trunkline::Engine::open_blocking(config)?;
    /// let snapshot = engine.snapshot();
    /// let proofs = snapshot.prove_each(&["alice", "bob"], &trunkline::ProveOptions::default())?;
    /// assert_eq!(proofs[1].versions[0].entries[0].key, b"bob");
    /// # drop(snapshot);
    /// # engine.shutdown_blocking()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prove_each<K: AsRef<[u8]> + Sync>(
        &self,
        keys: &[K],
        options: &ProveOptions,
    ) -> Result<Vec<Proof>, SnapshotProveError> {
        let params = &self.state.params;
        let mut places: Vec<usize> = (0..keys.len()).collect();
        // In path order, so that neighbours are walked to one after the other.
        places.sort_by_cached_key(|place| params.key_hash(keys[*place].as_ref()));
        let prove = |place: usize| Ok((place, self.prove_with([&keys[place]], options)?));
        let shard = places
            .len()
            .div_ceil(self.state.settings.proof_parallelism.get());
        let places = places.into_par_iter().with_min_len(shard.max(1));
        let proofs = || places.map(prove).collect();
        let proofs: Result<Vec<(usize, Proof)>, SnapshotProveError> =
            self.state.pools.read.install(proofs);
        let mut proofs = proofs?;
        proofs.sort_unstable_by_key(|(place, _)| *place);
        Ok(proofs.into_iter().map(|(_, proof)| proof).collect())
    }
}

/// One proof of several versions of one tree: of each snapshot the keys beside it. Whatever their
/// number, KZG tops share one opening of 96 bytes.
///
/// ```
/// use trunkline::core::proof::{Expected, verify_versions};
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// let engine = trunkline::Engine::open_blocking(config)?;
/// engine.put_blocking("alice", "10")?.durable_blocking()?;
/// let before = engine.snapshot();
/// engine.put_blocking("alice", "20")?.durable_blocking()?;
/// let after = engine.snapshot();
///
/// let parts = [(&before, ["alice"]), (&after, ["alice"])];
/// let proof = trunkline::prove_versions(&parts, &trunkline::ProveOptions::default())?;
/// let trusted = [before.root(), after.root()].map(Expected::Root);
/// let verified = verify_versions(&proof, &trusted)?;
/// assert_ne!(verified[0].claim(b"alice"), verified[1].claim(b"alice"));
/// # drop((before, after));
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn prove_versions<K: AsRef<[u8]>, Keys: AsRef<[K]>>(
    parts: &[(&Snapshot, Keys)],
    options: &ProveOptions,
) -> Result<Proof, SnapshotProveError> {
    let params = one_tree(parts)?;
    let mut parts: Vec<Part<'_>> = parts
        .iter()
        .map(|(snapshot, keys)| Part::of(snapshot, keys.as_ref(), options))
        .collect::<Result<_, _>>()?;
    parts.sort_unstable_by_key(|part| part.proof.version);
    if parts
        .windows(2)
        .any(|two| two[0].proof.version == two[1].proof.version)
    {
        return Err(SnapshotProveError::Versions);
    }
    let opening = open_parts(&parts, options.top);
    Ok(Proof {
        params,
        versions: parts.into_iter().map(|part| part.proof).collect(),
        opening,
    })
}

/// The parameters of the tree that all snapshots are of.
fn one_tree<Keys>(parts: &[(&Snapshot, Keys)]) -> Result<TreeParams, SnapshotProveError> {
    let mut params = parts.iter().map(|(snapshot, _)| snapshot.state.params);
    let first = params.next().ok_or(SnapshotProveError::Versions)?;
    match params.all(|params| params == first) {
        true => Ok(first),
        false => Err(SnapshotProveError::Versions),
    }
}

/// What a proof says of one version, and the slots that are left to open.
struct Part<'a> {
    snapshot: &'a Snapshot,
    proof: VersionProof,
    slots: Vec<Slot>,
}

impl<'a> Part<'a> {
    fn of<K: AsRef<[u8]>>(
        snapshot: &'a Snapshot,
        keys: impl IntoIterator<Item = K>,
        options: &ProveOptions,
    ) -> Result<Self, SnapshotProveError> {
        let (state, version) = (&snapshot.state, &snapshot.version);
        let leaves = |range| snapshot.leaves_away(range);
        let draft = Draft::walk_with(&state.reader, &version.roots, &state.params, keys, leaves);
        snapshot.check_readable()?;
        let draft = draft?;
        state.metrics.keys_proven(draft.entries().len());
        let claims = snapshot.claims(&draft, options.values)?;
        let slots = draft.slots();
        let (record, top) = match options.top {
            TopKind::Hash => (Some(version.record.clone()), draft.hash_top(&version.roots)),
            TopKind::Kzg => {
                let kzg_root = snapshot.kzg_root();
                (None, Top::Kzg { kzg_root })
            }
        };
        Ok(Self {
            snapshot,
            proof: draft.finish(claims, record, top),
            slots,
        })
    }
}

impl Snapshot {
    /// What a proof says of each of its entries.
    fn claims(&self, draft: &Draft, values: ShownValues) -> Result<Vec<Claim>, ReadError> {
        let leaves: Vec<Option<&Leaf>> = draft.entries().map(|(_, leaf)| leaf).collect();
        let claims = |leaves: &[Option<&Leaf>]| {
            let claims = leaves.iter().map(|leaf| self.claim(*leaf, values));
            claims.collect::<Result<Vec<Claim>, ReadError>>()
        };
        match values {
            // Nothing is read, so there is nothing worth handing over.
            ShownValues::None => claims(&leaves),
            _ => in_shards(&self.state, &leaves, claims),
        }
    }

    fn claim(&self, leaf: Option<&Leaf>, values: ShownValues) -> Result<Claim, ReadError> {
        let Some(leaf) = leaf else {
            return Ok(Claim::Absent);
        };
        let value_bytes_max = match values {
            ShownValues::None => return Ok(Claim::PresentHash(leaf.value_hash)),
            ShownValues::UpTo { value_bytes_max } => value_bytes_max,
            ShownValues::All => usize::MAX,
        };
        let value = self.value(leaf)?;
        if value.len() > value_bytes_max {
            return Ok(Claim::PresentHash(leaf.value_hash));
        }
        Ok(Claim::Present(value.to_vec()))
    }
}

/// A single slot's opening is kept with its version; an aggregate is one proof's own.
fn open_parts(parts: &[Part<'_>], top: TopKind) -> Option<TopOpening> {
    if top == TopKind::Hash {
        return None;
    }
    if let [part] = parts
        && let [slot] = part.slots[..]
    {
        return Some(TopOpening::Single(part.snapshot.opening(slot)));
    }
    let values: Vec<[Fr; WIDTH]> = parts
        .iter()
        .map(|part| part.snapshot.slot_values())
        .collect();
    let tops: Vec<TopSlots<'_>> = parts
        .iter()
        .zip(&values)
        .map(|(part, values)| TopSlots {
            version: part.proof.version,
            kzg_root: G1Bytes(part.snapshot.kzg_root()),
            values,
            slots: part.slots.clone(),
        })
        .collect();
    let state = &parts.first()?.snapshot.state;
    state.metrics.aggregate_computed();
    open_tops(&state.committer, &tops)
}
