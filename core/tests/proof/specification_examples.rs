use trunkline_core::kzg::{Slot, slot_point};
use trunkline_core::proof::{Claim, Expected, Proof, Verified, verify};
use trunkline_core::record::CommitRecord;
use trunkline_testkit::naive::{self, NaiveState};
use trunkline_testkit::naive_kzg::{self, CEREMONY, NaiveKzg};
use trunkline_testkit::states::{self, plain};

const SPECIFICATION: &str = include_str!("../../../SPEC.md");

fn assert_stated(name: &str, bytes: &[u8]) {
    let row = format!("| {name} | `{}` |", hex::encode(bytes));
    assert!(SPECIFICATION.contains(&row), "SPEC.md lacks the row\n{row}");
}

fn state() -> NaiveState {
    let pairs = [("a", "1"), ("b", "2"), ("c", "3")];
    NaiveState::of(
        plain(),
        pairs.map(|(key, value)| (key.into(), value.into())),
    )
}

#[test]
fn the_examples_of_keys_and_labels_hold() {
    for name in naive::LABELS {
        let key = blake3::derive_key(&format!("trunkline v1 {name}"), &[]);
        assert_stated(&format!("`{name}`"), &key);
    }
}

#[test]
fn the_examples_of_digests_and_roots_hold() {
    let state = state();
    for (key_hash, value_hash) in state.leaves() {
        let key = state.map.keys().find(|key| naive::plain(key) == key_hash);
        let key = String::from_utf8(key.unwrap().clone()).unwrap();
        assert_stated(&format!("key hash of `{key}`"), &key_hash);
        let leaf = naive::leaf_digest(&(key_hash, value_hash));
        assert_stated(&format!("leaf digest of `{key}`"), &leaf);
    }
    assert_stated("state digest", &state.state_digest());
    let kzg = NaiveKzg::new(CEREMONY, &naive::field_values(&state.leaves()));
    assert_stated("KZG root", &kzg.commitment());
    assert_stated("ω", &slot_point(Slot::new(1).unwrap()));
    assert_stated("setup id", &naive::setup_id(CEREMONY));
}

#[test]
fn the_examples_of_tree_and_commit_ids_hold() {
    let tree_id = plain().tree_id();
    assert_stated("tree id", &tree_id);
    let genesis = CommitRecord::genesis(tree_id);
    assert_stated("genesis history digest", &genesis.history_digest);
    assert_stated("genesis outcomes' digest", &genesis.outcomes_digest);
    assert_stated("genesis commit id", &genesis.commit_id());
}

#[test]
fn the_examples_of_proofs_hold() {
    let state = state();
    let keys = states::set([b"a".to_vec(), b"d".to_vec()]);
    let bytes = state.prove(1, &keys).encode().unwrap();
    assert_stated("proof with a hash top", &bytes);
    let proof = Proof::decode(&bytes).unwrap();
    let expected = Expected::StateDigest {
        tree_id: plain().tree_id(),
        state_digest: state.state_digest(),
    };
    assert_claims(&verify(&proof, &expected).unwrap());
}

#[test]
fn the_examples_of_an_aggregate_hold() {
    let state = state();
    let keys = states::set([b"a".to_vec(), b"d".to_vec()]);
    let (proof, kzg_root) = states::prove_kzg_at(&state, 1, keys.clone());
    assert_stated("proof with a KZG top", &proof.encode().unwrap());
    let expected = Expected::KzgRoot {
        tree_id: plain().tree_id(),
        kzg_root,
    };
    assert_claims(&verify(&proof, &expected).unwrap());

    let kzg = NaiveKzg::new(CEREMONY, &naive::field_values(&state.leaves()));
    let slots = state.slots(&keys).into_iter().collect();
    let setup_id = naive::setup_id(CEREMONY);
    let [seed, z] = naive_kzg::challenges(&setup_id, &[(1, &kzg, slots)]);
    assert_stated("seed of the aggregate", &seed);
    assert_stated("z of the aggregate", &z);
}

fn assert_claims(verified: &Verified<'_>) {
    assert_eq!(verified.claim(b"a"), Some(&Claim::Present(b"1".to_vec())));
    assert_eq!(verified.claim(b"d"), Some(&Claim::Absent));
}
