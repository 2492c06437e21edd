use trunkline_core::evidence::{EVIDENCE_BYTES_MAX, Evidence};
use trunkline_core::history::{AncestorProof, ConsistencyProof, HISTORY_PROOF_BYTES_MAX};
use trunkline_core::record::RecordError;
use trunkline_core::wire::DecodeError;
use trunkline_testkit::protobuf::{bytes, number, varint};

use crate::model::{Chain, Version};

/// Returns the fields of an ancestor proof, to be changed.
fn fields() -> [Vec<u8>; 6] {
    let proof = Chain::new(3).ancestor(3, 1);
    [
        number(1, 2),
        bytes(2, &proof.head.encode()),
        number(3, 1),
        bytes(4, &proof.commit_id),
        bytes(5, proof.inclusion.siblings.as_flattened()),
        bytes(6, proof.inclusion.peaks.as_flattened()),
    ]
}

fn with(field: usize, content: Vec<u8>) -> Result<AncestorProof, DecodeError> {
    let mut fields = fields();
    fields[field - 1] = content;
    AncestorProof::decode(&fields.concat())
}

#[test]
fn the_encoder_writes_the_canonical_form() {
    let proof = Chain::new(3).ancestor(3, 1);
    assert_eq!(proof.encode().unwrap(), fields().concat());
    assert_eq!(AncestorProof::decode(&fields().concat()), Ok(proof));
}

#[test]
fn fields_out_of_order_twice_unknown_or_spelled_out_are_refused() {
    let refused = |bytes: Vec<u8>| {
        assert_eq!(
            AncestorProof::decode(&bytes),
            Err(DecodeError::NotCanonical)
        );
    };
    let mut swapped = fields();
    swapped.swap(3, 4);
    refused(swapped.concat());
    let once_more = [fields().concat(), number(3, 1)].concat();
    refused(once_more);
    refused([fields().concat(), number(7, 1)].concat());
    let chain = Chain::new(1);
    let proof = chain.ancestor(1, 0).encode().unwrap();
    refused([proof.clone(), number(3, 0)].concat());
    refused([proof, bytes(5, &[])].concat());
    let long_varint = [varint(3 << 3), vec![0x81, 0x00]].concat();
    assert_eq!(with(3, long_varint), Err(DecodeError::NotCanonical));
}

#[test]
fn parts_of_another_form_are_refused() {
    assert_eq!(with(1, number(1, 1)), Err(DecodeError::Format(1)));
    assert_eq!(with(1, vec![]), Err(DecodeError::Format(0)));
    let record = Err(DecodeError::Record(RecordError::Length(3)));
    assert_eq!(with(2, bytes(2, &[1; 3])), record);
    let id = DecodeError::Length {
        what: "a commit id",
        expected: 32,
        found: 31,
    };
    assert_eq!(with(4, bytes(4, &[1; 31])), Err(id));
    let siblings = DecodeError::Digests {
        what: "siblings",
        found: 33,
    };
    assert_eq!(with(5, bytes(5, &[1; 33])), Err(siblings));
    assert!(matches!(
        with(6, number(6, 1)),
        Err(DecodeError::Protobuf(_))
    ));
}

#[test]
fn more_digests_than_there_can_be_are_refused() {
    let what = |result: Result<AncestorProof, DecodeError>| result.unwrap_err().to_string();
    let siblings = what(with(5, bytes(5, &[1; 64 * 32])));
    assert!(siblings.starts_with("64 siblings are more than 63"));
    let peaks = what(with(6, bytes(6, &[1; 65 * 32])));
    assert!(peaks.starts_with("65 peaks are more than 64"));
}

#[test]
fn an_outcome_that_is_none_is_refused() {
    let mut evidence = Version::new(1).evidence(0).encode().unwrap();
    let code = 2 + 2 + 1 + 236 + 2 + 40;
    assert_eq!(evidence[code], 0);
    evidence[code] = 5;
    assert_eq!(Evidence::decode(&evidence), Err(DecodeError::Outcome));
    // A key of one byte, which is not present.
    (evidence[code], evidence[code + 33]) = (0, 1);
    assert_eq!(Evidence::decode(&evidence), Err(DecodeError::Outcome));
}

#[test]
fn what_is_longer_than_any_proof_is_not_looked_at() {
    let max = HISTORY_PROOF_BYTES_MAX;
    let found = max + 1;
    let too_long = DecodeError::TooLong { found, max };
    let zeros = vec![0; found];
    assert_eq!(AncestorProof::decode(&zeros), Err(too_long.clone()));
    assert_eq!(ConsistencyProof::decode(&zeros), Err(too_long));
    let zeros = vec![0; EVIDENCE_BYTES_MAX + 1];
    assert!(matches!(
        Evidence::decode(&zeros),
        Err(DecodeError::TooLong { .. })
    ));
}

#[test]
fn one_kind_of_proof_is_not_read_as_another() {
    let chain = Chain::new(9);
    let ancestor = chain.ancestor(9, 4).encode().unwrap();
    let consistency = chain.consistency(4, 9).encode().unwrap();
    let evidence = Version::new(4).evidence(1).encode().unwrap();
    assert!(ConsistencyProof::decode(&ancestor).is_err());
    assert!(Evidence::decode(&ancestor).is_err());
    assert!(AncestorProof::decode(&consistency).is_err());
    assert!(Evidence::decode(&consistency).is_err());
    assert!(AncestorProof::decode(&evidence).is_err());
    assert!(ConsistencyProof::decode(&evidence).is_err());
}
