//! The content of `proofs.json`: proofs of all kinds, made by the model. Forgeries start from these, too.

use std::collections::BTreeSet;

use trunkline_core::proof::{Claim, Expected, Proof, Top};
use trunkline_core::record::{CommitRecord, Root};
use trunkline_testkit::keys::path_collisions;
use trunkline_testkit::naive::{self, Key};
use trunkline_testkit::states::{self, by_hash, keys_in_slot, keys_sharing, plain};
use trunkline_testkit::vectors::{Decimal, Trusted};

use super::form::{ClaimedEntry, ProofVector, VersionClaims};
use super::states::{Named, States};

/// The part of a proof that is about one version.
pub(super) struct Part<'s> {
    pub(super) state: &'s Named,
    pub(super) version: u64,
    keys: BTreeSet<Key>,
    kzg: bool,
    record: bool,
}

/// Returns a part with a hash top and no record, at version 5.
pub(super) fn part<K: AsRef<[u8]>>(state: &Named, keys: impl IntoIterator<Item = K>) -> Part<'_> {
    let keys = keys.into_iter().map(|key| key.as_ref().to_vec());
    Part {
        state,
        version: 5,
        keys: keys.collect(),
        kzg: false,
        record: false,
    }
}

impl Part<'_> {
    pub(super) fn at(mut self, version: u64) -> Self {
        self.version = version;
        self
    }

    pub(super) fn with_kzg_top(mut self) -> Self {
        self.kzg = true;
        self
    }

    pub(super) fn with_record(mut self) -> Self {
        self.record = true;
        self
    }

    pub(super) fn record(&self) -> CommitRecord {
        CommitRecord {
            version: self.version,
            state_digest: self.state.state_digest(),
            key_count: self.state.leaves().len() as u64,
            metadata: b"why".to_vec(),
            ..CommitRecord::genesis(self.state.tree_id())
        }
    }

    /// Returns the whole root, which any proof of this version is compared with.
    pub(super) fn root(&self) -> Root {
        let kzg_root = self.kzg.then(|| self.state.kzg().commitment());
        Root::of(&self.record(), kzg_root)
    }

    pub(super) fn by_root(&self) -> Expected {
        Expected::Root(self.root())
    }

    pub(super) fn by_commit_id(&self) -> Expected {
        Expected::CommitId(self.record().commit_id())
    }

    pub(super) fn by_state_digest(&self) -> Expected {
        Expected::StateDigest {
            tree_id: self.state.tree_id(),
            state_digest: self.state.state_digest(),
        }
    }

    pub(super) fn by_kzg_root(&self) -> Expected {
        Expected::KzgRoot {
            tree_id: self.state.tree_id(),
            kzg_root: self.state.kzg().commitment(),
        }
    }

    fn slots(&self) -> Vec<usize> {
        self.state.state.slots(&self.keys).into_iter().collect()
    }
}

/// Returns one proof of all parts.
pub(super) fn prove(parts: &[Part<'_>]) -> Proof {
    let opened: Vec<_> = parts
        .iter()
        .filter(|part| part.kzg)
        .map(|part| (part.version, part.state.kzg(), part.slots()))
        .collect();
    let versions = parts.iter().map(|part| {
        let mut version = part
            .state
            .prove(part.version, &part.keys)
            .versions
            .remove(0);
        version.record = part.record.then(|| part.record());
        if part.kzg {
            let kzg_root = part.state.kzg().commitment();
            version.top = Top::Kzg { kzg_root };
        }
        version
    });
    Proof {
        params: parts[0].state.state.params,
        versions: versions.collect(),
        opening: (!opened.is_empty()).then(|| states::open(&opened)),
    }
}

/// Replaces the value in a claim by its hash.
pub(super) fn with_value_hash(mut proof: Proof, key: &str) -> Proof {
    let entries = proof.versions.iter_mut().flat_map(|part| &mut part.entries);
    for entry in entries.filter(|entry| entry.key == key.as_bytes()) {
        if let Claim::Present(value) = &entry.claim {
            entry.claim = Claim::PresentHash(naive::plain(value));
        }
    }
    proof
}

fn vector(name: &str, parts: &[Part<'_>], proof: &Proof, trusted: &[Expected]) -> ProofVector {
    let claims = parts
        .iter()
        .zip(&proof.versions)
        .map(|(part, version)| VersionClaims {
            state: part.state.name.into(),
            version: Decimal(version.version),
            entries: version.entries.iter().map(ClaimedEntry::from).collect(),
        });
    ProofVector {
        name: name.into(),
        proof: proof.encode().unwrap().into(),
        trusted: trusted.iter().map(Trusted::from).collect(),
        claims: claims.collect(),
    }
}

/// Returns a proof of one version, compared with one trusted root.
fn single<'s>(name: &str, part: Part<'s>, trust: impl Fn(&Part<'s>) -> Expected) -> ProofVector {
    let trusted = [trust(&part)];
    let parts = [part];
    vector(name, &parts, &prove(&parts), &trusted)
}

/// Returns a proof of several versions, each compared with its root.
fn several(name: &str, parts: &[Part<'_>]) -> ProofVector {
    let trusted: Vec<Expected> = parts.iter().map(Part::by_root).collect();
    vector(name, parts, &prove(parts), &trusted)
}

pub(super) fn vectors(states: &States) -> Vec<ProofVector> {
    let mut vectors = of_three_keys(states);
    vectors.extend(of_what_is_trusted(states));
    vectors.extend(of_other_trees(states));
    vectors.extend(of_long_paths(states));
    vectors.extend(of_buckets(states));
    vectors.extend(with_kzg_tops(states));
    vectors.extend(of_several_versions(states));
    vectors
}

fn of_three_keys(states: &States) -> Vec<ProofVector> {
    let state = &states.three_keys;
    let beside_a = same_slot_as("a");
    let one = |name: &str, keys: &[&str]| single(name, part(state, keys), Part::by_state_digest);
    let hashed = [part(state, ["a", "b"])];
    vec![
        one("one key, present", &["a"]),
        one("one key, absent, in an empty place", &["d"]),
        single(
            "one key, absent, beside the leaf of another key",
            part(state, [&beside_a]),
            Part::by_state_digest,
        ),
        single(
            "a key and another one that is absent beside it",
            part(state, [&b"a".to_vec(), &beside_a]),
            Part::by_state_digest,
        ),
        one(
            "several keys, present and absent",
            &["a", "b", "c", "d", "e", "f"],
        ),
        vector(
            "one value and the hash of another",
            &hashed,
            &with_value_hash(prove(&hashed), "a"),
            &[hashed[0].by_state_digest()],
        ),
        single(
            "an empty value and the empty key",
            part(&states.later, ["", "d"]),
            Part::by_state_digest,
        ),
        single(
            "the empty state",
            part(&states.empty, ["a", "b"]),
            Part::by_state_digest,
        ),
        single(
            "all slots",
            part(state, one_in_each_slot()),
            Part::by_state_digest,
        ),
    ]
}

/// Returns the first number, as a key, in the slot of a key.
fn same_slot_as(key: &str) -> Key {
    let slot = naive::slot_of(&naive::plain(key.as_bytes()));
    keys_in_slot(&plain(), slot, 0, 1).remove(0)
}

/// Returns keys of one or two bytes.
fn one_in_each_slot() -> Vec<Key> {
    let mut keys = vec![None; 128];
    let candidates = (0..=u8::MAX).map(|byte| vec![byte]);
    let longer = (0..=u16::MAX).map(|number| number.to_be_bytes().to_vec());
    for key in candidates.chain(longer) {
        let slot = naive::slot_of(&naive::plain(&key));
        keys[slot].get_or_insert(key);
    }
    by_hash(&plain(), keys.into_iter().flatten().collect())
}

fn of_what_is_trusted(states: &States) -> Vec<ProofVector> {
    let state = &states.three_keys;
    let of_a = || part(state, ["a"]);
    vec![
        single("a root, and no record", of_a(), Part::by_root),
        single(
            "a root, and the record",
            of_a().with_record(),
            Part::by_root,
        ),
        single("a commit id", of_a().with_record(), Part::by_commit_id),
        single("nothing", of_a().with_record(), |_| Expected::Carried),
        single(
            "a root with a KZG root, a KZG top and the record",
            of_a().with_record().with_kzg_top(),
            Part::by_root,
        ),
        single(
            "the largest version",
            of_a().with_record().at(u64::MAX),
            Part::by_commit_id,
        ),
        single(
            "version 0",
            part(&states.empty, ["a"]).with_record().at(0),
            Part::by_commit_id,
        ),
    ]
}

fn of_other_trees(states: &States) -> Vec<ProofVector> {
    let [one, other] = path_collisions().remove(0);
    let both = || [one.clone(), other.clone()];
    vec![
        single("salted", part(&states.salted, ["a", "d"]), Part::by_root),
        single(
            "salted with zeros",
            part(&states.salt_of_zeros, ["a", "d"]),
            Part::by_root,
        ),
        single("overwrite", part(&states.overwrite, both()), Part::by_root),
        single("reject", part(&states.reject, both()), Part::by_root),
    ]
}

fn of_long_paths(states: &States) -> Vec<ProofVector> {
    let [one, other] = keys_sharing(&plain(), 30);
    let [lone, absent] = path_collisions().remove(0);
    let state = &states.long_shared_prefix;
    vec![
        single(
            "a long shared prefix, one key",
            part(state, [one.clone()]),
            Part::by_root,
        ),
        single(
            "a long shared prefix, both keys",
            part(state, [one.clone(), other]),
            Part::by_root,
        ),
        single(
            "a long shared prefix, a key that leaves it early",
            part(
                state,
                [keys_in_slot(&plain(), slot_of(&one), 0, 1).remove(0)],
            ),
            Part::by_root,
        ),
        single(
            "a key that is absent beside a leaf of its own path",
            part(&states.lone_of_a_pair, [absent, lone]),
            Part::by_root,
        ),
    ]
}

fn slot_of(key: &Key) -> usize {
    naive::slot_of(&naive::plain(key))
}

fn of_buckets(states: &States) -> Vec<ProofVector> {
    let [one, other] = path_collisions().remove(0);
    let bucket =
        |name: &str, keys: &[&Key]| single(name, part(&states.bucket, keys), Part::by_root);
    let near = keys_in_slot(&plain(), slot_of(&one), 0, 1).remove(0);
    vec![
        bucket("one member of a bucket", &[&one]),
        bucket("both members of a bucket", &[&one, &other]),
        bucket("a member of a bucket and a key beside it", &[&one, &near]),
        single(
            "a member of a full bucket",
            part(&states.full_bucket, [&one]),
            Part::by_root,
        ),
        single(
            "a key that is no member of a full bucket",
            part(&states.full_bucket, [&other]),
            Part::by_root,
        ),
        single(
            "a bucket, under a KZG root",
            part(&states.bucket, [&one, &other]).with_kzg_top(),
            Part::by_kzg_root,
        ),
    ]
}

fn with_kzg_tops(states: &States) -> Vec<ProofVector> {
    let kzg = |name: &str, state, keys: &[&str]| {
        single(name, part(state, keys).with_kzg_top(), Part::by_kzg_root)
    };
    let state = &states.three_keys;
    let beside_a = same_slot_as("a");
    let hashed = [part(state, ["a"]).with_kzg_top()];
    vec![
        kzg("one slot, a key present", state, &["a"]),
        kzg("one slot, which is empty", state, &["d"]),
        single(
            "one slot, two keys",
            part(state, [&b"a".to_vec(), &beside_a]).with_kzg_top(),
            Part::by_kzg_root,
        ),
        kzg("several slots", state, &["a", "b", "c", "d", "e", "f"]),
        kzg("one slot of the empty state", &states.empty, &["a"]),
        kzg(
            "several slots of the empty state",
            &states.empty,
            &["a", "b"],
        ),
        kzg(
            "several slots of a salted state",
            &states.salted,
            &["a", "d"],
        ),
        single(
            "all slots, under a KZG root",
            part(state, one_in_each_slot()).with_kzg_top(),
            Part::by_kzg_root,
        ),
        vector(
            "the hash of a value, under a KZG root",
            &hashed,
            &with_value_hash(prove(&hashed), "a"),
            &[hashed[0].by_kzg_root()],
        ),
    ]
}

fn of_several_versions(states: &States) -> Vec<ProofVector> {
    let (empty, three, later) = (&states.empty, &states.three_keys, &states.later);
    let mixed = || {
        [
            part(three, ["a", "c"]).at(3).with_kzg_top(),
            part(three, ["a"]).at(4),
            part(later, ["b", "c"]).at(9).with_kzg_top(),
        ]
    };
    let parts = mixed();
    let trusted = [
        parts[0].by_kzg_root(),
        parts[1].by_state_digest(),
        Expected::Carried,
    ];
    vec![
        several(
            "two versions with hash tops",
            &[
                part(three, ["b", "d"]).at(3),
                part(later, ["b", "d"]).at(7).with_record(),
            ],
        ),
        several(
            "four versions with KZG tops, two of them with one KZG root",
            &[
                part(empty, ["a"]).at(0).with_kzg_top(),
                part(three, ["b", "d"]).at(3).with_kzg_top(),
                part(three, ["b", "e"]).at(4).with_kzg_top(),
                part(later, ["b", "d"]).at(7).with_kzg_top(),
            ],
        ),
        several("KZG tops and a hash top", &mixed()),
        several(
            "one slot of one KZG top, and hash tops",
            &[
                part(empty, ["a"]).at(1),
                part(three, ["a"]).at(2).with_kzg_top(),
                part(later, ["a"]).at(3),
            ],
        ),
        vector(
            "something else trusted of each version",
            &parts,
            &prove(&parts),
            &trusted,
        ),
    ]
}
