use trunkline_core::kzg::{
    AggregateProof, Fr, G1Bytes, OpenedVersion, Slot, VerifyOpeningError, encode_scalar,
    verify_aggregate,
};

use crate::support::{COMMITTER, values_of};

/// Returns the slots that `chosen` picks, for some versions with different values.
fn opened(
    versions: u64,
    chosen: impl Fn(u64, usize) -> bool,
) -> (Vec<OpenedVersion>, Vec<[Fr; 128]>) {
    let values: Vec<[Fr; 128]> = (0..versions)
        .map(|version| values_of(version + 5))
        .collect();
    let opened = (0..versions)
        .zip(&values)
        .map(|(version, values)| OpenedVersion {
            version,
            commitment: COMMITTER.commit(values).to_bytes(),
            slots: Slot::all()
                .filter(|slot| chosen(version, slot.index()))
                .map(|slot| (slot, encode_scalar(&values[slot.index()])))
                .collect(),
        });
    (opened.collect(), values)
}

fn prove(opened: &[OpenedVersion], values: &[[Fr; 128]]) -> AggregateProof {
    COMMITTER.aggregate(opened, &values.iter().collect::<Vec<_>>())
}

#[test]
fn any_sets_of_slots_of_any_number_of_versions_hold() {
    for (versions, every) in [(1, 64), (1, 3), (1, 2), (2, 128), (3, 5), (8, 1)] {
        let (opened, values) = opened(versions, |version, slot| {
            (slot + version as usize).is_multiple_of(every)
        });
        let proof = prove(&opened, &values);
        assert_eq!(
            verify_aggregate(&opened, &proof),
            Ok(true),
            "{versions} {every}"
        );
    }
}

#[test]
fn equal_commitments_at_two_versions_are_two_claims() {
    let (mut opened, mut values) = opened(1, |_, slot| slot < 3);
    opened.push(OpenedVersion {
        version: 1,
        slots: opened[0].slots[1..2].to_vec(),
        ..opened[0]
    });
    values.push(values[0]);
    let proof = prove(&opened, &values);
    assert_eq!(verify_aggregate(&opened, &proof), Ok(true));
    opened[1].version = 2;
    assert_eq!(verify_aggregate(&opened, &proof), Ok(false));
}

#[test]
fn of_all_slots_the_quotient_is_the_identity() {
    let (opened, values) = opened(2, |_, _| true);
    let proof = prove(&opened, &values);
    assert_eq!(proof.quotient, G1Bytes::IDENTITY);
    assert_eq!(verify_aggregate(&opened, &proof), Ok(true));
}

#[test]
fn of_the_empty_state_both_points_are_the_identity() {
    let (mut opened, _) = opened(1, |_, slot| slot < 9);
    opened[0].commitment = G1Bytes::IDENTITY;
    opened[0]
        .slots
        .iter_mut()
        .for_each(|(_, value)| *value = [0; 32]);
    let proof = prove(&opened, &[[Fr::from(0); 128]]);
    assert_eq!(
        (proof.quotient, proof.opening),
        (G1Bytes::IDENTITY, G1Bytes::IDENTITY)
    );
    assert_eq!(verify_aggregate(&opened, &proof), Ok(true));
}

#[test]
fn whatever_is_changed_in_a_claim_it_no_longer_holds() {
    let (opened, values) = opened(3, |_, slot| slot % 40 == 7);
    let proof = prove(&opened, &values);
    let refused = |change: &dyn Fn(&mut Vec<OpenedVersion>)| {
        let mut changed = opened.clone();
        change(&mut changed);
        assert_eq!(verify_aggregate(&changed, &proof), Ok(false));
    };
    refused(&|opened| opened[1].slots[2].1[31] ^= 1);
    refused(&|opened| opened[1].slots[2].0 = Slot::new(90).unwrap());
    refused(&|opened| opened[1].version = 9);
    refused(&|opened| opened[1].commitment = opened[0].commitment);
    refused(&|opened| opened.swap(0, 1));
    refused(&|opened| drop(opened.pop()));
    refused(&|opened| opened[2].slots.truncate(1));
}

#[test]
fn a_point_that_is_none_is_an_error() {
    let (opened, values) = opened(2, |_, slot| slot < 2);
    let proof = prove(&opened, &values);
    let swapped = AggregateProof {
        quotient: proof.opening,
        opening: proof.quotient,
    };
    assert_eq!(verify_aggregate(&opened, &swapped), Ok(false));
    for changed in [
        AggregateProof {
            quotient: G1Bytes([0xff; 48]),
            ..proof
        },
        AggregateProof {
            opening: G1Bytes([0xff; 48]),
            ..proof
        },
    ] {
        let verdict = verify_aggregate(&opened, &changed);
        assert_eq!(verdict, Err(VerifyOpeningError::Proof));
    }
    let mut no_value = opened.clone();
    no_value[0].slots[0].1 = [0xff; 32];
    assert_eq!(
        verify_aggregate(&no_value, &proof),
        Err(VerifyOpeningError::Value)
    );
    let mut no_commitment = opened;
    no_commitment[0].commitment = G1Bytes([0xff; 48]);
    let verdict = verify_aggregate(&no_commitment, &proof);
    assert_eq!(verdict, Err(VerifyOpeningError::Commitment));
}
