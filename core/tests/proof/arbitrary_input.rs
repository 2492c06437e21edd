use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;
use trunkline_core::kzg::{AggregateProof, G1Bytes};
use trunkline_core::params::{CollisionPolicy, Salt, TreeParams};
use trunkline_core::proof::{
    Claim, Entry, Expected, Place, Proof, ShownLeaf, Siblings, Terminal, Top, TopOpening,
    VersionProof, advance, opened_slots, verify_versions,
};
use trunkline_testkit::protobuf;
use trunkline_testkit::states;

fn leaf() -> impl Strategy<Value = ShownLeaf> {
    any::<([u8; 32], [u8; 32])>().prop_map(|(key_hash, value_hash)| ShownLeaf {
        key_hash,
        value_hash,
    })
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![
        Just(Place::Empty),
        Just(Place::OwnLeaf),
        leaf().prop_map(Place::OtherLeaf),
        vec(leaf(), 2..=16).prop_map(Place::Bucket),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    let claim = prop_oneof![
        vec(any::<u8>(), 0..9).prop_map(Claim::Present),
        any::<[u8; 32]>().prop_map(Claim::PresentHash),
        Just(Claim::Absent),
    ];
    (vec(any::<u8>(), 0..3), claim).prop_map(|(key, claim)| Entry { key, claim })
}

fn siblings(count: Range<usize>) -> impl Strategy<Value = Siblings> {
    vec(prop_oneof![Just([0; 32]), any::<[u8; 32]>()], count).prop_map(Siblings::from_iter)
}

fn params() -> impl Strategy<Value = TreeParams> {
    let policies = [
        CollisionPolicy::Bucket,
        CollisionPolicy::Overwrite,
        CollisionPolicy::Reject,
    ];
    let collision = prop::sample::select(policies.to_vec());
    (any::<[u8; 16]>(), any::<Option<[u8; 32]>>(), collision).prop_map(
        |(nonce, salt, collision)| TreeParams {
            nonce,
            salt: salt.map(Salt::new),
            collision,
        },
    )
}

prop_compose! {
    /// Returns a well-formed proof of a version, which is almost never valid.
    fn version_proof()(
        version in 0..9_u64,
        mut entries in vec(entry(), 1..9),
        sorted in any::<bool>(),
        places in vec((7_u8..=56, place()), 1..9),
        siblings in siblings(0..20),
        top in prop_oneof![
            siblings(0..8).prop_map(|siblings| Top::Hash { siblings }),
            Just(Top::Kzg { kzg_root: [0xc0; 48] }),
        ],
    ) -> VersionProof {
        let params = TreeParams::default();
        if sorted {
            entries.sort_by_key(|entry| params.key_hash(&entry.key));
        }
        let places = places.into_iter().take(entries.len());
        let terminals = places.map(|(depth, place)| Terminal { depth, place }).collect();
        let record = sorted.then(|| states::record(&states::numbered(params, 0), version));
        VersionProof { version, record, entries, terminals, siblings, top }
    }
}

fn opening() -> impl Strategy<Value = Option<TopOpening>> {
    let point = any::<[u8; 6]>().prop_map(|bytes| G1Bytes([bytes; 8].concat().try_into().unwrap()));
    prop_oneof![
        Just(None),
        point
            .clone()
            .prop_map(|opening| Some(TopOpening::Single(opening))),
        (point.clone(), point).prop_map(|(quotient, opening)| Some(TopOpening::Aggregate(
            AggregateProof { quotient, opening }
        ))),
    ]
}

prop_compose! {
    fn proof()(
        params in params(),
        versions in vec(version_proof(), 1..4),
        opening in opening(),
    ) -> Proof {
        Proof { params, versions, opening }
    }
}

/// Returns fields with valid numbers and arbitrary content, some of them in versions.
fn fields() -> impl Strategy<Value = Vec<u8>> {
    let number =
        (1_u64..10, any::<u64>()).prop_map(|(field, value)| protobuf::number(field, value));
    let bytes = (1_u64..10, vec(any::<u8>(), 0..40))
        .prop_map(|(field, content)| protobuf::bytes(field, &content));
    let fields = vec(prop_oneof![number, bytes], 0..12).prop_map(|fields| fields.concat());
    (fields.clone(), fields).prop_map(|(outer, inner)| [outer, protobuf::bytes(4, &inner)].concat())
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes_are_a_proof_or_an_error(bytes in vec(any::<u8>(), 0..300)) {
        if let Ok(proof) = Proof::decode(&bytes) {
            prop_assert_eq!(proof.encode().unwrap(), bytes);
        }
    }

    #[test]
    fn any_fields_are_a_proof_or_an_error(bytes in fields()) {
        if let Ok(proof) = Proof::decode(&bytes) {
            prop_assert_eq!(proof.encode().unwrap(), bytes);
        }
    }

    #[test]
    fn any_proof_survives_the_wire(proof in proof()) {
        let bytes = proof.encode().unwrap();
        prop_assert_eq!(Proof::decode(&bytes).unwrap(), proof);
    }

    #[test]
    fn any_proof_with_changed_bytes_is_canonical_or_an_error(
        proof in proof(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = proof.encode().unwrap();
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        if let Ok(proof) = Proof::decode(&bytes) {
            prop_assert_eq!(proof.encode().unwrap(), bytes);
        }
    }

    #[test]
    fn any_proof_is_moved_by_any_change_or_not(proof in proof(), change in proof()) {
        let change = Proof { params: proof.params, ..change };
        let _ = advance(&proof, &change);
    }

    #[test]
    fn any_proof_is_verified_or_refused(proof in proof()) {
        let state_digest = [1; 32];
        let expected = Expected::StateDigest { tree_id: proof.params.tree_id(), state_digest };
        let each = |expected| vec![expected; proof.versions.len()];
        prop_assert!(verify_versions(&proof, &each(expected)).is_err());
        let _ = verify_versions(&proof, &each(Expected::Carried));
        let _ = opened_slots(&proof);
    }
}
