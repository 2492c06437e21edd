//! The content of `audits.json`, made by the model.
//!
//! The crate is compared with it elsewhere.

mod malformed;
mod rules;

use serde::{Deserialize, Serialize};
use trunkline_core::audit::AuditProof;
use trunkline_core::params::{CollisionPolicy, TreeParams};
use trunkline_core::proof::Expected;
use trunkline_core::record::{CommitRecord, Root};
use trunkline_testkit::states;
use trunkline_testkit::vectors::{ACCEPTED, AnsweredVector, Decimal, Hex, Trusted, VectorFile};

use crate::fixture::{self, Digest, Slots, by_kzg_root, by_state, point, polynomial};

/// An item of the list in `audits.json`.
pub(crate) type AuditVector = AnsweredVector<Trusted, ShownAudit>;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShownAudit {
    pub(crate) binds: Binding,
    pub(crate) tree_id: Hex,
    /// The version, if a trusted value binds it.
    pub(crate) version: Option<Decimal>,
    pub(crate) state_digest: Hex,
    pub(crate) kzg_root: Hex,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Binding {
    BothRoots,
    KzgRoot,
    Nothing,
}

/// Makes the file.
pub(crate) fn made() -> VectorFile {
    VectorFile::new("audits.json", &vectors())
}

fn vectors() -> Vec<AuditVector> {
    let mut vectors = accepted();
    vectors.extend(rules::vectors());
    vectors.extend(malformed::vectors());
    vectors
}

/// An audit proof with its trusted value and their name.
#[derive(Clone)]
struct Case {
    of: String,
    proof: AuditProof,
    trusted: Expected,
}

impl Case {
    fn refused(&self, mutation: &str, rule: &str) -> AuditVector {
        AuditVector {
            of: self.of.clone(),
            mutation: mutation.into(),
            rule: rule.into(),
            malformed: None,
            proof: self.proof.encode().unwrap().into(),
            trusted: Trusted::from(&self.trusted),
            shown: None,
        }
    }

    fn accepted(&self, mutation: &str) -> AuditVector {
        let (binds, version) = match self.trusted {
            Expected::Root(_) | Expected::CommitId(_) => {
                (Binding::BothRoots, Some(Decimal(self.proof.version)))
            }
            Expected::StateDigest { .. } => (Binding::BothRoots, None),
            Expected::KzgRoot { .. } => (Binding::KzgRoot, None),
            Expected::Carried => (Binding::Nothing, None),
        };
        let shown = ShownAudit {
            binds,
            tree_id: self.proof.params.tree_id().into(),
            version,
            state_digest: fixture::state_digest(&self.proof.slots[..]).into(),
            kzg_root: self.proof.kzg_root.into(),
        };
        AuditVector {
            shown: Some(shown),
            ..self.refused(mutation, ACCEPTED)
        }
    }

    /// Changes the proof or its trusted value.
    fn changed(&self, mutation: &str, rule: &str, change: impl FnOnce(&mut Self)) -> AuditVector {
        let mut changed = self.clone();
        change(&mut changed);
        changed.refused(mutation, rule)
    }
}

/// Makes the opening again, for the root and the digests of the proof.
fn open_anew(proof: &mut AuditProof) {
    proof.opening = polynomial(&proof.slots).open_at(point(proof));
}

/// Makes the root and the opening again, for the digests of the proof.
fn commit_anew(proof: &mut AuditProof) {
    proof.kzg_root = polynomial(&proof.slots).commitment();
    open_anew(proof);
}

/// A state, with a record of the version.
struct State {
    name: &'static str,
    proof: AuditProof,
}

impl State {
    fn new(name: &'static str, params: TreeParams, version: u64, slots: Slots) -> Self {
        let mut proof = fixture::audit_of(params, slots);
        proof.version = version;
        let record = match version {
            0 => CommitRecord::genesis(params.tree_id()),
            _ => fixture::record(&proof),
        };
        proof.record = Some(record);
        Self { name, proof }
    }

    fn root(&self) -> Root {
        let record = self.proof.record.as_ref().unwrap();
        Root::of(record, Some(self.proof.kzg_root))
    }

    /// Returns the case with or without the record.
    fn case(&self, name: &str, trusted: Expected, with_record: bool) -> Case {
        let mut proof = self.proof.clone();
        proof.record = proof.record.filter(|_| with_record);
        let with = match with_record {
            true => "with",
            false => "without",
        };
        Case {
            of: format!("{}, {with} a record, {name} trusted", self.name),
            proof,
            trusted,
        }
    }

    fn by_root(&self, with_record: bool) -> Case {
        self.case("root", Expected::Root(self.root()), with_record)
    }

    fn by_commit_id(&self) -> Case {
        let trusted = Expected::CommitId(self.root().commit_id);
        self.case("commit id", trusted, true)
    }

    fn by_state(&self, with_record: bool) -> Case {
        self.case("state digest", by_state(&self.proof), with_record)
    }

    fn by_kzg_root(&self, with_record: bool) -> Case {
        self.case("KZG root", by_kzg_root(&self.proof), with_record)
    }

    fn by_nothing(&self, with_record: bool) -> Case {
        self.case("nothing", Expected::Carried, with_record)
    }
}

/// Returns a digest in some slots.
fn some_slots(used: &[usize]) -> Slots {
    let mut slots = [[0; 32]; 128];
    for slot in used {
        slots[*slot] = digest_of(*slot);
    }
    slots
}

fn digest_of(slot: usize) -> Digest {
    *blake3::hash(&[slot as u8]).as_bytes()
}

fn of_policy(collision: CollisionPolicy) -> TreeParams {
    TreeParams {
        collision,
        ..states::plain()
    }
}

fn empty() -> State {
    State::new("the empty state", states::plain(), 0, [[0; 32]; 128])
}

/// Returns a state whose proof has all parts: salt, policy, version.
fn salted() -> State {
    let slots = some_slots(&[0, 1, 64, 127]);
    State::new("four slots of a salted tree", fixture::salted(), 5, slots)
}

fn single() -> State {
    let params = of_policy(CollisionPolicy::Overwrite);
    State::new("a single slot", params, 1, some_slots(&[127]))
}

fn full() -> State {
    let slots = core::array::from_fn(digest_of);
    State::new("all slots", states::plain(), u64::MAX, slots)
}

fn accepted() -> Vec<AuditVector> {
    let mut cases = Vec::new();
    for state in [empty(), salted(), single()] {
        for with_record in [false, true] {
            cases.push(state.by_root(with_record));
            cases.push(state.by_state(with_record));
            cases.push(state.by_kzg_root(with_record));
            cases.push(state.by_nothing(with_record));
        }
        cases.push(state.by_commit_id());
    }
    cases.push(full().by_kzg_root(false));
    cases.push(full().by_commit_id());
    let mut without_kzg_root = salted().root();
    without_kzg_root.kzg_root = None;
    let trusted = Expected::Root(without_kzg_root);
    cases.push(salted().case("root without a KZG root", trusted, false));
    cases.iter().map(|case| case.accepted("original")).collect()
}
