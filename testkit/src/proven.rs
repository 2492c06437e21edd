//! Small real trees, each with the map that it must agree with, and their proofs as bytes.
//!
//! The tests of the verifier's interface, those of its C library and the fuzz targets make all their proofs here. The
//! second implementation is [`crate::naive`].

use std::collections::BTreeMap;

use trunkline_core::batch::{Batch, BatchLimits};
use trunkline_core::kzg::{Committer, G1Bytes, Setup, Slot, slot_value};
use trunkline_core::params::{CollisionPolicy, Salt, TreeParams, slot_of};
use trunkline_core::proof::{
    Claim, Draft, Expected, Proof, Top, TopOpening, TopSlots, Verified, VersionProof, open_tops,
};
use trunkline_core::record::{CommitRecord, Root};
use trunkline_core::tree::{self, Roots, TreeHasher, TreeReader, TreeWriter};

use crate::keys::{Pair, number_key, numbered, path_collisions};

/// A tree at version 1, with its content.
pub struct State {
    /// The parameters of the tree.
    pub params: TreeParams,
    /// Every key with its value.
    pub map: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The record of version 1.
    pub record: CommitRecord,
    /// The root that a client trusts.
    pub root: Root,
    roots: Roots,
    reader: TreeReader,
    _tree: (TreeWriter, TreeHasher),
}

/// Makes a committer. Takes a second or two.
pub fn committer() -> Committer {
    Committer::new(&Setup::ceremony().expect("the embedded setup is sound"))
}

impl State {
    /// Builds the tree of these keys. Each has its own path or shares a bucket.
    pub fn new(
        params: TreeParams,
        pairs: impl IntoIterator<Item = Pair>,
        committer: &Committer,
    ) -> Self {
        let map: BTreeMap<_, _> = pairs.into_iter().collect();
        let mut batch = Batch::new();
        for (key, value) in &map {
            batch.put(key, value);
        }
        let (mut writer, mut hasher) =
            tree::build(params.collision, &[]).expect("nothing is sorted");
        let _ = hasher.hash(writer.seal(0), None);
        if !map.is_empty() {
            let prepared = batch.prepare(&params, &BatchLimits::default(), None);
            let prepared = prepared.expect("keys and values are in bounds");
            writer.apply(&prepared, 1).expect("no bucket is full");
        }
        let roots = hasher.hash(writer.seal(1), None);
        let record = CommitRecord {
            version: 1,
            state_digest: roots.state_digest,
            key_count: roots.key_count,
            ..CommitRecord::genesis(params.tree_id())
        };
        let values = std::array::from_fn(|slot| slot_value(&roots.slots[slot]));
        let kzg_root = committer.commit(&values).to_bytes();
        Self {
            params,
            map,
            root: Root::of(&record, Some(kzg_root.0)),
            record,
            roots,
            reader: writer.reader(),
            _tree: (writer, hasher),
        }
    }

    /// Encodes a proof of some keys with a top of hashes, with or without the record.
    pub fn hash_proof(&self, keys: &[&[u8]], with_record: bool) -> Vec<u8> {
        let draft = self.draft(keys);
        let top = draft.hash_top(&self.roots);
        let record = with_record.then(|| self.record.clone());
        let claims = self.claims(&draft);
        self.encoded(vec![draft.finish(claims, record, top)], None)
    }

    /// Encodes a proof of some keys with a KZG top.
    pub fn kzg_proof(&self, keys: &[&[u8]], committer: &Committer) -> Vec<u8> {
        let (version, opened) = self.kzg_version(1, keys);
        self.encoded(vec![version], self.open(committer, &[opened]))
    }

    /// Encodes a proof of three versions of this state: the second with a top of hashes.
    pub fn versions_proof(&self, keys: &[&[u8]], committer: &Committer) -> Vec<u8> {
        let (first, first_opened) = self.kzg_version(1, keys);
        let (last, last_opened) = self.kzg_version(9, &keys[..1]);
        let draft = self.draft(keys);
        let (claims, top) = (self.claims(&draft), draft.hash_top(&self.roots));
        let middle = VersionProof {
            version: 4,
            ..draft.finish(claims, None, top)
        };
        let opening = self.open(committer, &[first_opened, last_opened]);
        self.encoded(vec![first, middle, last], opening)
    }

    fn kzg_version(&self, version: u64, keys: &[&[u8]]) -> (VersionProof, (u64, Vec<Slot>)) {
        let draft = self.draft(keys);
        let kzg_root = self.root.kzg_root.expect("every state here has one");
        let (slots, claims) = (draft.slots(), self.claims(&draft));
        let proof = VersionProof {
            version,
            ..draft.finish(claims, None, Top::Kzg { kzg_root })
        };
        (proof, (version, slots))
    }

    fn open(&self, committer: &Committer, opened: &[(u64, Vec<Slot>)]) -> Option<TopOpening> {
        let values = std::array::from_fn(|slot| slot_value(&self.roots.slots[slot]));
        let top = |(version, slots): &(u64, Vec<Slot>)| TopSlots {
            version: *version,
            kzg_root: G1Bytes(self.root.kzg_root.expect("every state here has one")),
            values: &values,
            slots: slots.clone(),
        };
        open_tops(committer, &opened.iter().map(top).collect::<Vec<_>>())
    }

    fn encoded(&self, versions: Vec<VersionProof>, opening: Option<TopOpening>) -> Vec<u8> {
        let proof = Proof {
            params: self.params,
            versions,
            opening,
        };
        proof.encode().expect("a proof that is made is in bounds")
    }

    /// Returns everything that a client may trust about it.
    pub fn expected(&self) -> Vec<Expected> {
        let (tree_id, state_digest) = (self.root.tree_id, self.root.state_digest);
        let mut expected = vec![
            Expected::Root(self.root),
            Expected::CommitId(self.root.commit_id),
            Expected::StateDigest {
                tree_id,
                state_digest,
            },
        ];
        expected.extend(
            self.root
                .kzg_root
                .map(|kzg_root| Expected::KzgRoot { tree_id, kzg_root }),
        );
        expected
    }

    /// Returns whether every claim is true in the map.
    pub fn agrees(&self, verified: &Verified<'_>) -> bool {
        let is_true = |key: &[u8], claim: &Claim| match (self.map.get(key), claim) {
            (None, Claim::Absent) => true,
            (Some(value), Claim::Present(claimed)) => value == claimed,
            (Some(value), Claim::PresentHash(hash)) => trunkline_core::hash::hash(value) == *hash,
            _ => false,
        };
        let mut entries = verified.entries.iter();
        entries.all(|entry| is_true(&entry.key, &entry.claim))
    }

    fn draft(&self, keys: &[&[u8]]) -> Draft {
        Draft::walk(&self.reader, &self.roots, &self.params, keys).expect("keys are in bounds")
    }

    /// Claims values and hashes of values alternately.
    fn claims(&self, draft: &Draft) -> Vec<Claim> {
        let claim = |(index, (key, _)): (usize, (&[u8], _))| match self.map.get(key) {
            None => Claim::Absent,
            Some(value) if index % 2 == 0 => Claim::Present(value.clone()),
            Some(value) => Claim::PresentHash(trunkline_core::hash::hash(value)),
        };
        draft.entries().enumerate().map(claim).collect()
    }
}

/// Returns two numbers, as keys, that are in no tree here, and that are in the slot of another key.
fn neighbours(params: &TreeParams, key: &[u8]) -> [Vec<u8>; 2] {
    let slot = |key: &[u8]| slot_of(&params.key_hash(key));
    let mut found = (1_000..)
        .map(number_key)
        .filter(|other| slot(other) == slot(key));
    std::array::from_fn(|_| found.next().expect("one number in 128 is"))
}

/// Builds trees of every policy, with and without a salt: one with a bucket, one empty, one with one key.
pub fn states(committer: &Committer) -> Vec<State> {
    let plain = TreeParams::default();
    let overwrite = TreeParams {
        nonce: [9; 16],
        salt: Some(Salt::new([7; 32])),
        collision: CollisionPolicy::Overwrite,
    };
    let reject = TreeParams {
        collision: CollisionPolicy::Reject,
        ..plain
    };
    let bucket = path_collisions()
        .remove(0)
        .map(|key| (key, b"crowded".to_vec()));
    vec![
        State::new(plain, numbered(40).chain(bucket), committer),
        State::new(plain, [], committer),
        State::new(overwrite, numbered(300), committer),
        State::new(reject, numbered(1), committer),
    ]
}

/// Encodes proofs of a state: of one key or of many, present or not, under either top.
pub fn proofs_of(state: &State, committer: &Committer) -> Vec<Vec<u8>> {
    let [one, other] = path_collisions().remove(0);
    let numbers: Vec<Vec<u8>> = (0..1_000).step_by(37).map(number_key).collect();
    let many: Vec<&[u8]> = numbers.iter().map(Vec::as_slice).collect();
    let [near, near_too] = neighbours(&state.params, &numbers[0]);
    let sets: [&[&[u8]]; 8] = [
        &[b"nobody"],
        &[&numbers[0]],
        &[&near],
        &[&numbers[0], &near, &near_too],
        &[&one],
        &[&one, &other],
        &many[..3],
        &many,
    ];
    let mut proofs = Vec::new();
    for keys in sets {
        proofs.push(state.hash_proof(keys, keys.len() > 1));
    }
    for keys in &sets[1..7] {
        proofs.push(state.kzg_proof(keys, committer));
        proofs.push(state.versions_proof(keys, committer));
    }
    proofs
}
