//! Forgeries that fold to *some* root, by hand.

use trunkline_core::params::TreeParams;
use trunkline_core::proof::{
    Claim, Entry, Place, Proof, ShownLeaf, Siblings, Terminal, Top, VersionProof,
};
use trunkline_testkit::keys::path_collisions;
use trunkline_testkit::naive::{self, Hash, Key, NaiveState};
use trunkline_testkit::states::{self, by_hash, keys_in_slot, plain};

pub(crate) fn entry(key: &Key, claim: Claim) -> Entry {
    Entry {
        key: key.clone(),
        claim,
    }
}

pub(crate) fn absent(key: &Key) -> Entry {
    entry(key, Claim::Absent)
}

pub(crate) fn present(key: &Key) -> Entry {
    entry(key, Claim::Present(b"v".to_vec()))
}

pub(crate) fn at(depth: u8, place: Place) -> Terminal {
    Terminal { depth, place }
}

pub(crate) fn leaf(key_hash: Hash) -> ShownLeaf {
    ShownLeaf {
        key_hash,
        value_hash: naive::plain(b"v"),
    }
}

/// Returns `count` siblings, none of them empty.
pub(crate) fn full(count: usize) -> Siblings {
    Siblings::from_iter(vec![[1; 32]; count])
}

/// Returns a proof within one slot of a tree, whose top is of one slot.
pub(crate) fn in_slot(entries: Vec<Entry>, terminals: Vec<Terminal>, siblings: usize) -> Proof {
    Proof {
        params: plain(),
        versions: vec![VersionProof {
            version: 0,
            record: None,
            entries,
            terminals,
            siblings: full(siblings),
            top: Top::Hash { siblings: full(7) },
        }],
        opening: None,
    }
}

/// Returns keys of one slot, ascending by hash, whose hashes differ at the bit after the slot.
pub(crate) fn parted() -> [Key; 2] {
    let keys = by_hash(&plain(), keys_in_slot(&plain(), 40, 0, 8));
    let low = |key: &&Key| !naive::bit(&naive::hash_key(&plain(), key), 7);
    let pair = [keys.iter().find(low), keys.iter().rfind(|key| !low(key))];
    pair.map(|key| key.unwrap().clone())
}

pub(crate) fn hash(key: &Key) -> Hash {
    naive::hash_key(&plain(), key)
}

/// Returns a real bucket with both of its keys.
pub(crate) fn bucket(params: TreeParams) -> Proof {
    let keys = path_collisions().remove(0);
    let state = NaiveState::of(params, keys.clone().map(|key| (key, b"v".to_vec())));
    state.prove(0, &states::set(keys))
}

pub(crate) fn members(proof: &mut Proof) -> &mut Vec<ShownLeaf> {
    match &mut proof.versions[0].terminals[0].place {
        Place::Bucket(members) => members,
        _ => panic!("a bucket was made"),
    }
}
