use proptest::collection::vec;
use proptest::prelude::*;
use trunkline_core::params::{CollisionPolicy, TreeParams};
use trunkline_core::proof::{
    Claim, Entry, Expected, Place, Proof, ShownLeaf, Siblings, Terminal, Top, verify,
};

use crate::fixture;
use crate::protobuf;

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

fn siblings() -> impl Strategy<Value = Siblings> {
    vec(prop_oneof![Just([0; 32]), any::<[u8; 32]>()], 0..20).prop_map(Siblings::from_iter)
}

fn params() -> impl Strategy<Value = TreeParams> {
    let policies = [
        CollisionPolicy::Bucket,
        CollisionPolicy::Overwrite,
        CollisionPolicy::Reject,
    ];
    let collision = prop::sample::select(policies.to_vec());
    (any::<Option<[u8; 32]>>(), collision)
        .prop_map(|(salt, collision)| TreeParams { salt, collision })
}

prop_compose! {
    /// Well-formed, and nearly never right.
    fn proof()(
        params in params(),
        version in any::<u64>(),
        mut entries in vec(entry(), 1..9),
        sorted in any::<bool>(),
        places in vec((7_u8..=56, place()), 1..9),
        siblings in siblings(),
        top in prop_oneof![
            siblings().prop_map(|siblings| Top::Hash { siblings }),
            vec(Just([0xc0; 48]), 0..4)
                .prop_map(|openings| Top::Kzg { commitment: [0xc0; 48], openings }),
        ],
    ) -> Proof {
        if sorted {
            entries.sort_by_key(|entry| params.key_hash(&entry.key));
        }
        let places = places.into_iter().take(entries.len());
        let terminals = places.map(|(depth, place)| Terminal { depth, place }).collect();
        let record = sorted.then(|| fixture::record(&fixture::numbered(params, 0), version));
        Proof { params, version, record, entries, terminals, siblings, top }
    }
}

/// Fields with the right numbers and any content.
fn fields() -> impl Strategy<Value = Vec<u8>> {
    let number =
        (1_u64..13, any::<u64>()).prop_map(|(field, value)| protobuf::number(field, value));
    let bytes = (1_u64..13, vec(any::<u8>(), 0..40))
        .prop_map(|(field, content)| protobuf::bytes(field, &content));
    vec(prop_oneof![number, bytes], 0..12).prop_map(|fields| fields.concat())
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
    fn any_proof_is_verified_or_refused(proof in proof()) {
        let state_digest = [1; 32];
        let expected = Expected::StateDigest { tree_id: proof.params.tree_id(), state_digest };
        prop_assert!(verify(&proof, &expected).is_err());
        let _ = verify(&proof, &Expected::Carried);
    }
}
