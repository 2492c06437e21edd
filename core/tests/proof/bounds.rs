use trunkline_core::hash::ZERO;
use trunkline_core::params::{KEY_BYTES_MAX, METADATA_BYTES_MAX, VALUE_BYTES_MAX};
use trunkline_core::proof::{
    Claim, DecodeProofError, ENTRIES_MAX, Expected, PROOF_BYTES_MAX, Place, Proof, ProofFormError,
    ShownLeaf, Siblings, Top, VERSIONS_MAX, VerifyProofError, verify,
};
use trunkline_testkit::keys::number_key;
use trunkline_testkit::protobuf;
use trunkline_testkit::states::{self, plain};

fn proof() -> Proof {
    states::prove(&states::numbered(plain(), 3), [number_key(1)])
}

/// Checks that the encoder and the verifier refuse a proof with the same error.
fn assert_refused(proof: &Proof, error: ProofFormError) {
    assert_eq!(proof.encode(), Err(error));
    let refusal = verify(proof, &Expected::Carried).unwrap_err();
    assert_eq!(refusal, VerifyProofError::Form(error));
}

#[test]
fn a_proof_with_no_entry_is_refused() {
    let mut none = proof();
    none.versions[0].entries.clear();
    none.versions[0].terminals.clear();
    assert_refused(&none, ProofFormError::Entries(0));
}

#[test]
fn a_proof_with_no_version_or_too_many_is_refused() {
    for count in [0, VERSIONS_MAX + 1] {
        let mut odd = proof();
        odd.versions = vec![odd.versions.remove(0); count];
        assert_refused(&odd, ProofFormError::Versions(count));
    }
}

#[test]
fn a_proof_with_too_many_entries_at_all_versions_is_refused() {
    let mut many = proof();
    let entry = many.versions[0].entries.remove(0);
    many.versions[0].entries = vec![entry; ENTRIES_MAX / 2 + 1];
    many.versions.push(many.versions[0].clone());
    assert_refused(&many, ProofFormError::Entries(ENTRIES_MAX + 2));
}

#[test]
fn a_proof_with_too_many_entries_is_refused() {
    let entry = proof().versions[0].entries.remove(0);
    let mut many = proof();
    many.versions[0].entries = vec![entry; ENTRIES_MAX + 1];
    assert_refused(&many, ProofFormError::Entries(ENTRIES_MAX + 1));
}

#[test]
fn a_proof_with_no_terminal_or_more_than_entries_is_refused() {
    let terminal = proof().versions[0].terminals.remove(0);
    for count in [0, 2] {
        let mut odd = proof();
        odd.versions[0].terminals = vec![terminal.clone(); count];
        assert_refused(&odd, ProofFormError::Terminals(count));
    }
}

#[test]
fn a_proof_with_a_key_or_value_or_metadata_that_is_too_long_is_refused() {
    let mut long = proof();
    long.versions[0].entries[0].key = vec![0; KEY_BYTES_MAX + 1];
    assert_refused(&long, ProofFormError::KeyBytes(KEY_BYTES_MAX + 1));
    let mut long = proof();
    long.versions[0].entries[0].claim = Claim::Present(vec![0; VALUE_BYTES_MAX + 1]);
    assert_refused(&long, ProofFormError::ValueBytes(VALUE_BYTES_MAX + 1));
    let mut long = proof();
    long.versions[0].record.as_mut().unwrap().metadata = vec![0; METADATA_BYTES_MAX + 1];
    assert_refused(&long, ProofFormError::MetadataBytes(METADATA_BYTES_MAX + 1));
}

#[test]
fn a_proof_with_more_siblings_than_its_paths_have_levels_is_refused() {
    let digests = |count| Siblings::from_iter(vec![[1; 32]; count]);
    for siblings in [digests(50), Siblings::from_iter([ZERO; 50])] {
        let mut many = proof();
        many.versions[0].siblings = siblings;
        let (found, max) = (50, 49);
        assert_refused(&many, ProofFormError::Siblings { found, max });
    }
    for siblings in [digests(8), Siblings::from_iter([ZERO; 8])] {
        let mut many = proof();
        many.versions[0].top = Top::Hash { siblings };
        let (found, max) = (8, 7);
        assert_refused(&many, ProofFormError::TopSiblings { found, max });
    }
    // The highest allowed numbers are refused only by a rule, if at all.
    let mut most = proof();
    most.versions[0].siblings = digests(49);
    assert!(most.encode().is_ok());
}

#[test]
fn a_proof_with_a_depth_that_no_terminal_has_is_refused() {
    for depth in [0, 6, 57, 255] {
        let mut odd = proof();
        odd.versions[0].terminals[0].depth = depth;
        assert_refused(&odd, ProofFormError::Depth(depth.into()));
    }
}

#[test]
fn a_proof_with_too_few_or_too_many_bucket_members_is_refused() {
    for count in [0, 1, 17] {
        let mut odd = proof();
        let member = ShownLeaf {
            key_hash: [0; 32],
            value_hash: [0; 32],
        };
        odd.versions[0].terminals[0].place = Place::Bucket(vec![member; count]);
        assert_refused(&odd, ProofFormError::BucketMembers(count));
    }
}

#[test]
fn a_proof_longer_than_64_mib_is_refused() {
    let bytes = vec![0; PROOF_BYTES_MAX + 1];
    let error = ProofFormError::Bytes(bytes.len());
    assert_eq!(Proof::decode(&bytes), Err(DecodeProofError::Form(error)));
    let keys = states::set((0..5).map(number_key));
    let mut long = states::numbered(plain(), 5).prove(1, &keys);
    for entry in &mut long.versions[0].entries {
        entry.claim = Claim::Present(vec![0; VALUE_BYTES_MAX]);
    }
    assert!(matches!(long.encode(), Err(ProofFormError::Bytes(_))));
}

#[test]
fn a_proof_is_refused_before_anything_is_allocated_for_its_parts() {
    // An entry takes two bytes on the wire, and is counted there: no entry is decoded, so that the counts are refused,
    // not the missing claims.
    let version = |content: &[u8]| protobuf::bytes(4, content);
    let refused = |bytes: &[u8], error| {
        assert_eq!(Proof::decode(bytes), Err(DecodeProofError::Form(error)));
    };
    let (entry, terminal) = (protobuf::bytes(3, &[]), protobuf::bytes(4, &[]));
    let entries = version(&entry.repeat(ENTRIES_MAX + 1));
    refused(&entries, ProofFormError::Entries(ENTRIES_MAX + 1));
    let terminals = version(&[entry.clone(), terminal.repeat(2)].concat());
    refused(&terminals, ProofFormError::Terminals(2));
    let versions = version(&[entry, terminal].concat()).repeat(VERSIONS_MAX + 1);
    refused(&versions, ProofFormError::Versions(VERSIONS_MAX + 1));
}

#[test]
fn a_proof_that_just_fits_is_read() {
    let keys = states::set((0..ENTRIES_MAX as u64).map(number_key));
    let entries = states::numbered(plain(), 0).entries(&keys);
    let mut proof = states::numbered(plain(), 0).prove(0, &states::set([number_key(0)]));
    proof.versions[0].entries = entries.into_values().collect();
    proof.versions[0].terminals = vec![proof.versions[0].terminals.remove(0); 128];
    proof.versions[0].top = trunkline_core::proof::Top::Hash {
        siblings: Default::default(),
    };
    let read = Proof::decode(&proof.encode().unwrap()).unwrap();
    let expected = Expected::StateDigest {
        tree_id: plain().tree_id(),
        state_digest: [0; 32],
    };
    assert!(verify(&read, &expected).is_ok());
}
