//! Proofs of keys at one version or several.
//!
//! This file collects the content of a proof; `trunkline_core::proof` defines the proof.

use bytes::Bytes;
use rayon::prelude::*;
use trunkline_actors::state::State;
use trunkline_actors::state::read::ReadError;
use trunkline_core::kzg::{Fr, G1Bytes, Slot};
use trunkline_core::params::{TreeParams, WIDTH};
use trunkline_core::proof::{
    Claim, Draft, Proof, ProveError, Top, TopOpening, TopSlots, VersionProof, open_tops,
};
use trunkline_core::tree::Leaf;

use super::Snapshot;
use super::multi_get::in_shards;

/// The connection between the slots of a proof's keys and the root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TopKind {
    /// An opening of the KZG root. A verifier needs the 48-byte KZG root and computes a pairing. Making it takes one
    /// commitment (2 ms) for the first proof of a slot at this version, and two for keys of several slots.
    #[default]
    Kzg,
    /// Hashes up to the state digest, made and verified in microseconds. A verifier needs the state digest or the
    /// commit id; the proof contains the commit record, which connects the two.
    Hash,
}

/// The values that a proof contains. For other keys it contains the hash of the value.
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
    /// Values up to a length.
    UpTo {
        /// The length of the longest value that is contained, bytes.
        value_bytes_max: usize,
    },
    /// No value; none is read.
    None,
}

/// Options of a proof.
///
/// ```
/// use trunkline::core::proof::{Expected, verify};
/// use trunkline::{ProveOptions, ShownValues, TopKind};
/// # let directory = tempfile::tempdir()?;
/// # let config = trunkline::Config::in_directory(directory.path());
/// let engine = trunkline::Engine::open_blocking(config)?;
/// engine.put_blocking("alice", "10")?.durable_blocking()?;
/// // Fast to make and to verify, and without the value:
/// let options = ProveOptions { top: TopKind::Hash, values: ShownValues::None };
/// let snapshot = engine.snapshot();
/// let proof = snapshot.prove_with(["alice"], &options)?;
/// assert!(verify(&proof, &Expected::CommitId(snapshot.commit_id())).is_ok());
/// # drop(snapshot);
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProveOptions {
    /// The connection between slots and root.
    pub top: TopKind,
    /// The values that the proof contains.
    pub values: ShownValues,
}

/// The error of making a proof.
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
    /// No proof can be made for these keys.
    #[error(transparent)]
    Keys(#[from] ProveError),
    /// A value could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No snapshot was given, two of the same version, or snapshots of different trees.
    #[error(
        "a proof needs one snapshot or more, each of another version of the same tree; give each version once"
    )]
    Versions,
}

impl Snapshot {
    /// Proves for each key its value, or that it has none.
    ///
    /// Runs on the caller's thread and blocks it; only the values of very many keys are read on the engine's pool for
    /// reads.
    ///
    /// # Errors
    ///
    /// Fails if a key is empty or too long, if there is no key or too many, or if a key cannot be read
    /// ([`Snapshot::get`]).
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

    /// Works like [`Self::prove`], with more options.
    ///
    /// # Errors
    ///
    /// As [`Self::prove`].
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

    /// Returns one proof for each key, in the order of the keys. Runs on the engine's pool for reads, and blocks the
    /// caller's thread until all proofs are made. Keys of a slot share its opening.
    ///
    /// # Errors
    ///
    /// As [`Self::prove`], for any of the keys.
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
        let mut order: Vec<usize> = (0..keys.len()).collect();
        // In path order, so that neighbours in the tree follow each other.
        order.sort_by_cached_key(|index| params.key_hash(keys[*index].as_ref()));
        let parallelism = self.state.settings.proof_parallelism.get();
        let shard = keys.len().div_ceil(parallelism).max(1);
        let prove = |index: usize| -> Result<_, SnapshotProveError> {
            Ok((index, self.prove_with([&keys[index]], options)?))
        };
        let mut proofs: Vec<(usize, Proof)> = match self.state.pools.read.threads() {
            None => order.into_iter().map(prove).collect::<Result<_, _>>()?,
            Some(pool) => {
                let order = order.into_par_iter().with_min_len(shard);
                pool.install(|| order.map(prove).collect::<Result<_, _>>())?
            }
        };
        proofs.sort_unstable_by_key(|(index, _)| *index);
        Ok(proofs.into_iter().map(|(_, proof)| proof).collect())
    }
}

/// Returns one proof for keys at several versions of a tree: for each snapshot, the keys that are paired with it. All
/// KZG tops share one opening of 96 bytes. Blocks as [`Snapshot::prove`] does.
///
/// # Errors
///
/// Returns [`SnapshotProveError::Versions`] if there is no snapshot, if two are of the same version, or if they are of
/// different trees. Otherwise fails as [`Snapshot::prove`] does.
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

/// Returns the parameters of the tree that all snapshots are of.
fn one_tree<Keys>(parts: &[(&Snapshot, Keys)]) -> Result<TreeParams, SnapshotProveError> {
    let mut params = parts.iter().map(|(snapshot, _)| snapshot.state.params);
    let first = params.next().ok_or(SnapshotProveError::Versions)?;
    match params.all(|params| params == first) {
        true => Ok(first),
        false => Err(SnapshotProveError::Versions),
    }
}

/// The part of a proof about one version, and the slots that are still to be opened.
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
        let draft = match snapshot.past() {
            Some(past) => past.draft(keys)?,
            None => {
                let leaves = |range| Ok::<_, SnapshotProveError>(snapshot.cold_leaves(range)?);
                let (reader, params) = (&state.reader, &state.params);
                let draft = Draft::walk_with(reader, &version.roots, params, keys, leaves);
                snapshot.check_readable()?;
                draft?
            }
        };
        state.metrics.keys_proven(draft.entries().len());
        let claims = claims(state, &draft, options.values, |leaf| snapshot.value(leaf))?;
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

/// Returns the claim of each entry of a proof. `value` reads the value of a leaf.
pub(crate) fn claims(
    state: &State,
    draft: &Draft,
    values: ShownValues,
    value: impl Fn(&Leaf) -> Result<Bytes, ReadError> + Sync,
) -> Result<Vec<Claim>, ReadError> {
    let leaves: Vec<Option<&Leaf>> = draft.entries().map(|(_, leaf)| leaf).collect();
    let claims = |leaves: &[Option<&Leaf>]| {
        let claims = leaves.iter().map(|leaf| claim(*leaf, values, &value));
        claims.collect::<Result<Vec<Claim>, ReadError>>()
    };
    match values {
        // Nothing is read, so shards would gain nothing.
        ShownValues::None => claims(&leaves),
        _ => in_shards(state, &leaves, claims),
    }
}

fn claim(
    leaf: Option<&Leaf>,
    values: ShownValues,
    value: impl Fn(&Leaf) -> Result<Bytes, ReadError>,
) -> Result<Claim, ReadError> {
    let Some(leaf) = leaf else {
        return Ok(Claim::Absent);
    };
    let value_bytes_max = match values {
        ShownValues::None => return Ok(Claim::PresentHash(leaf.value_hash)),
        ShownValues::UpTo { value_bytes_max } => value_bytes_max,
        ShownValues::All => usize::MAX,
    };
    let value = value(leaf)?;
    if value.len() > value_bytes_max {
        return Ok(Claim::PresentHash(leaf.value_hash));
    }
    Ok(Claim::Present(value.to_vec()))
}

/// Opens the slots of a proof with a KZG top. The opening of a single slot is kept with its version; an aggregate is
/// not, since no other proof has the same.
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
