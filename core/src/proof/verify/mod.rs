//! The rules of a proof: a total function of the proof and of the client's trusted roots.
//!
//! The digests are folded up from the terminals to the 128 slots, from there to the state digest or to the opening of a
//! KZG root, and the result is compared with the client's trusted roots. Key hashes, slots and evaluation points are
//! computed from the keys and never read from the proof.
//!
//! | file | holds |
//! | --- | --- |
//! | `ends` | terminals and the claims below them |
//! | `fold` | the digests that are hashed together |
//! | `plan` | hashing many proofs at a time |
//! | `folded` | one version, from claims to its root |
//! | `expected` | the comparison of the root with a trusted one |
//! | `openings` | one pairing check for all KZG tops |
//! | `root` | a root with the slots that were verified |
//! | `error` | the broken rule |

mod ends;
mod error;
mod expected;
mod fold;
mod folded;
mod openings;
mod plan;
mod root;

use alloc::vec::Vec;

pub use error::VerifyProofError;
pub use expected::{BoundTo, Expected, TopRoot};
pub use root::VerifiedRoot;

pub(crate) use self::expected::same;

pub(super) use self::ends::{End, find_ends};
pub(super) use self::folded::hash_keys;
pub(super) use self::plan::{DigestIndex, Plan};

use self::expected::{check_expected, check_record};
use self::folded::{FoldedVersion, PlannedVersion};
use self::openings::{PendingOpenings, check_kind};
use super::{Claim, Entry, Proof, VersionProof};
use crate::hash::Digest;
use crate::kzg::OpenedVersion;
use crate::params::TreeParams;
use crate::record::CommitRecord;

/// Number of digests that are held at a time, beyond those of one version: enough to fill lanes, but few enough for the
/// caches.
const DIGESTS_AT_ONCE: usize = 4096;

/// A version whose claims hold, as far as [`Self::bound_to`] says.
///
/// ```
/// use trunkline_core::hash::ZERO;
/// use trunkline_core::params::TreeParams;
/// use trunkline_core::proof::*;
/// let proof = Proof {
///     params: TreeParams::default(),
///     versions: vec![VersionProof {
///         version: 9,
///         record: None,
///         entries: vec![Entry { key: b"alice".to_vec(), claim: Claim::Absent }],
///         terminals: vec![Terminal { depth: 7, place: Place::Empty }],
///         siblings: Siblings::default(),
///         top: Top::Hash { siblings: Siblings::from_iter([ZERO; 7]) },
///     }],
///     opening: None,
/// };
/// let verified = verify(&proof, &Expected::Carried)?;
/// assert_eq!(verified.root, TopRoot::StateDigest(ZERO));
/// assert_eq!(verified.bound_to, BoundTo::Nothing);
/// assert_eq!(verified.trusted_version, None);
/// # Ok::<(), VerifyProofError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<'a> {
    /// The id of the tree.
    pub tree_id: Digest,
    /// The root to which the claims lead.
    pub root: TopRoot,
    /// The trusted root on which the claims rest.
    pub bound_to: BoundTo,
    /// The version, if the trusted root states it; the proof's own claim is not enough.
    pub trusted_version: Option<u64>,
    /// The carried record, if its commit id is trusted.
    pub trusted_record: Option<&'a CommitRecord>,
    /// Keys with claims, ascending by key hash.
    pub entries: &'a [Entry],
    key_hashes: Vec<Digest>,
    params: &'a TreeParams,
}

impl<'a> Verified<'a> {
    /// Returns the claim about a key; `None` if the proof is not about the key.
    pub fn claim(&self, key: &[u8]) -> Option<&'a Claim> {
        let key_hash = self.params.key_hash(key);
        let index = self.key_hashes.binary_search(&key_hash).ok()?;
        self.entries.get(index).map(|entry| &entry.claim)
    }
}

/// Checks a proof of one version against the client's trusted root.
///
/// It is total, and linear in the size of the proof; the pairing check of a KZG top comes last.
///
/// ```
/// use trunkline_core::proof::{Expected, Proof, Verified, verify};
/// fn check(bytes: &[u8], commit_id: [u8; 32]) -> Result<u64, Box<dyn std::error::Error>> {
///     let proof = Proof::decode(bytes)?;
///     let verified = verify(&proof, &Expected::CommitId(commit_id))?;
///     verified.trusted_version.ok_or("unbound".into())
/// }
/// assert!(check(b"no proof", [0; 32]).is_err());
/// ```
pub fn verify<'a>(proof: &'a Proof, expected: &Expected) -> Result<Verified<'a>, VerifyProofError> {
    let mut verified = verify_versions(proof, core::slice::from_ref(expected))?;
    // Exactly one was expected, so there is one.
    verified.pop().ok_or(VerifyProofError::ExpectedCount {
        versions: 0,
        expected: 1,
    })
}

/// Checks a proof against the client's trusted roots, one for each of its versions, in their order.
///
/// ```
/// use trunkline_core::proof::{Expected, Proof, verify_versions};
/// use trunkline_core::record::Root;
/// /// Whether a key had the same value at two versions that the client trusts.
/// fn unchanged(proof: &Proof, roots: [Root; 2], key: &[u8]) -> Option<bool> {
///     let verified = verify_versions(proof, &roots.map(Expected::Root)).ok()?;
///     let [before, after] = [verified[0].claim(key)?, verified[1].claim(key)?];
///     Some(before.value_hash() == after.value_hash())
/// }
/// ```
pub fn verify_versions<'a>(
    proof: &'a Proof,
    expected: &[Expected],
) -> Result<Vec<Verified<'a>>, VerifyProofError> {
    let mut verified = verify_all(&[ToVerify { proof, expected }]).map_err(|error| error.error)?;
    Ok(verified.pop().unwrap_or_default())
}

/// A proof, with a trusted root for each of its versions.
///
/// ```
/// use trunkline_core::proof::{Expected, Proof, ToVerify, verify_all};
/// fn all_hold(proofs: &[Proof], head: [u8; 32]) -> bool {
///     let expected = [Expected::CommitId(head)];
///     let jobs: Vec<_> = proofs.iter().map(|proof| ToVerify { proof, expected: &expected }).collect();
///     verify_all(&jobs).is_ok()
/// }
/// assert!(all_hold(&[], [0; 32]));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ToVerify<'a, 'e> {
    /// The proof.
    pub proof: &'a Proof,
    /// One for each version of the proof, in their order.
    pub expected: &'e [Expected],
}

/// The first of several proofs that was found to break a rule. Openings are checked last.
///
/// ```
/// use trunkline_core::proof::{VerifyAllError, VerifyProofError};
/// let error = VerifyAllError { index: 7, error: VerifyProofError::Opening };
/// assert_eq!(error.to_string(), "proof 7: the KZG opening does not hold");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("proof {index}: {error}")]
pub struct VerifyAllError {
    /// Index of the proof in the list, from 0.
    pub index: usize,
    /// The broken rule.
    pub error: VerifyProofError,
}

/// Checks many proofs, of one tree or several: hashing uses all lanes, and one pairing check covers all openings.
/// Returns the verified versions of each proof, or the error of a proof that breaks a rule.
pub fn verify_all<'a>(
    proofs: &[ToVerify<'a, '_>],
) -> Result<Vec<Vec<Verified<'a>>>, VerifyAllError> {
    let mut pending = PendingOpenings::default();
    let verified = fold_all(proofs, &mut |index, job, opened| {
        pending.add(index, opened, job.proof.opening);
        Ok(())
    })?;
    pending.check().map_err(|index| VerifyAllError {
        index,
        error: VerifyProofError::Opening,
    })?;
    Ok(verified)
}

/// Returns the openings that each KZG top of a proof must have: roots, slots and the values that the claims lead to,
/// for checking openings elsewhere (with a point-evaluation precompile, for example). A hash top has none.
///
/// It checks only that the proof folds to its slots: no opening, no record, no root.
///
/// ```
/// use trunkline_core::kzg::{G1Bytes, Slot};
/// use trunkline_core::params::TreeParams;
/// use trunkline_core::proof::*;
/// let proof = Proof {
///     params: TreeParams::default(),
///     versions: vec![VersionProof {
///         version: 0,
///         record: None,
///         entries: vec![Entry { key: b"alice".to_vec(), claim: Claim::Absent }],
///         terminals: vec![Terminal { depth: 7, place: Place::Empty }],
///         siblings: Siblings::default(),
///         top: Top::Kzg { kzg_root: G1Bytes::IDENTITY.0 },
///     }],
///     opening: Some(TopOpening::Single(G1Bytes::IDENTITY)),
/// };
/// let slot = Slot::of_key_hash(&proof.params.key_hash(b"alice"));
/// assert_eq!(opened_slots(&proof)?[0].slots, [(slot, [0; 32])]);
/// # Ok::<(), VerifyProofError>(())
/// ```
pub fn opened_slots(proof: &Proof) -> Result<Vec<OpenedVersion>, VerifyProofError> {
    proof.check_form()?;
    let mut plan = Plan::new();
    let mut opened = Vec::new();
    for version in &proof.versions {
        plan.clear();
        let planned = PlannedVersion::of(&proof.params, version, &mut plan)?;
        plan.run();
        opened.extend(planned.fold(version, &plan).opened);
    }
    Ok(opened)
}

/// A function that takes the slots that a proof must open, with the proof's index in the list.
type TakeOpened<'t> =
    dyn FnMut(usize, &ToVerify<'_, '_>, Vec<OpenedVersion>) -> Result<(), VerifyProofError> + 't;

/// Checks everything except the openings, which are passed to `take` proof by proof.
fn fold_all<'a>(
    proofs: &[ToVerify<'a, '_>],
    take: &mut TakeOpened<'_>,
) -> Result<Vec<Vec<Verified<'a>>>, VerifyAllError> {
    let mut verified = Vec::with_capacity(proofs.len());
    let mut plan = Plan::new();
    let mut first = 0;
    while first < proofs.len() {
        let mut planned = Vec::new();
        plan.clear();
        while let Some(job) = proofs.get(first + planned.len())
            && plan.len() < DIGESTS_AT_ONCE
        {
            let versions = plan_proof(job, &mut plan).map_err(|error| VerifyAllError {
                index: first + planned.len(),
                error,
            })?;
            planned.push(versions);
        }
        plan.run();
        for (versions, job) in planned.into_iter().zip(&proofs[first..]) {
            let index = verified.len();
            let conclude = |error| VerifyAllError { index, error };
            let (versions, opened) = conclude_proof(job, versions, &plan).map_err(conclude)?;
            take(index, job, opened).map_err(conclude)?;
            verified.push(versions);
        }
        first = verified.len();
    }
    Ok(verified)
}

fn plan_proof(
    job: &ToVerify<'_, '_>,
    plan: &mut Plan,
) -> Result<Vec<PlannedVersion>, VerifyProofError> {
    let (proof, expected) = (job.proof, job.expected);
    proof.check_form()?;
    let versions = &proof.versions;
    if versions.len() != expected.len() {
        return Err(VerifyProofError::ExpectedCount {
            versions: versions.len(),
            expected: expected.len(),
        });
    }
    let ordered = versions
        .windows(2)
        .map(|two| two[0].version < two[1].version);
    if let Some(index) = ordered.into_iter().position(|ascends| !ascends) {
        return Err(VerifyProofError::VersionOrder(index + 1));
    }
    let planned = versions
        .iter()
        .map(|version| PlannedVersion::of(&proof.params, version, plan));
    planned.collect()
}

/// Compares the roots of the versions with the client's. Openings are checked later.
fn conclude_proof<'a>(
    job: &ToVerify<'a, '_>,
    planned: Vec<PlannedVersion>,
    plan: &Plan,
) -> Result<(Vec<Verified<'a>>, Vec<OpenedVersion>), VerifyProofError> {
    let proof = job.proof;
    let tree_id = proof.params.tree_id();
    let mut verified = Vec::with_capacity(planned.len());
    let mut opened = Vec::new();
    for ((planned, version), expected) in planned.into_iter().zip(&proof.versions).zip(job.expected)
    {
        let folded = planned.fold(version, plan);
        check_record(version, &tree_id, &folded.root)?;
        let bound_to = check_expected(version, &tree_id, &folded.root, expected)?;
        let FoldedVersion {
            key_hashes, root, ..
        } = folded;
        opened.extend(folded.opened);
        verified.push(Verified {
            tree_id,
            root,
            bound_to,
            trusted_version: binds_version(bound_to).then_some(version.version),
            trusted_record: trusted_record(version, bound_to),
            entries: &version.entries,
            key_hashes,
            params: &proof.params,
        });
    }
    check_kind(&opened, proof.opening.as_ref())?;
    Ok((verified, opened))
}

fn trusted_record(version: &VersionProof, bound_to: BoundTo) -> Option<&CommitRecord> {
    version.record.as_ref().filter(|_| binds_version(bound_to))
}

fn binds_version(bound_to: BoundTo) -> bool {
    matches!(bound_to, BoundTo::Root | BoundTo::CommitId)
}
