//! An update with the changes gives the commitment to all values.

use proptest::prelude::*;
use trunkline_core::kzg::{CommitmentPoint, Fr, SlotChange, slot_value};

use crate::support::{COMMITTER, slot, values_of};

fn any_value() -> impl Strategy<Value = Fr> {
    prop_oneof![
        1 => Just(Fr::default()),
        4 => any::<[u8; 32]>().prop_map(|digest| slot_value(&digest)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn updates_over_several_versions_equal_commitments_from_scratch(
        versions in prop::collection::vec(
            prop::collection::btree_map(0..128_usize, any_value(), 0..40),
            1..4,
        ),
    ) {
        let mut values = values_of(6);
        let mut point = COMMITTER.commit(&values);
        for version in versions {
            let mut changes = Vec::new();
            for (index, new) in version {
                let old = values[index];
                changes.push(SlotChange { slot: slot(index), old, new });
                values[index] = new;
            }
            point = COMMITTER.update(&point, &changes);
            prop_assert_eq!(point, COMMITTER.commit(&values));
        }
    }
}

#[test]
fn updates_from_bytes_and_back_to_nothing_equal_commitments_from_scratch() {
    let values = values_of(7);
    let full = COMMITTER.commit(&values).to_bytes();
    let point = CommitmentPoint::try_from(full).expect("our own bytes");
    let changes: Vec<SlotChange> = values
        .into_iter()
        .enumerate()
        .map(|(index, old)| SlotChange {
            slot: slot(index),
            old,
            new: Fr::default(),
        })
        .collect();
    let emptied = COMMITTER.update(&point, &changes);
    assert_eq!(emptied, CommitmentPoint::IDENTITY);
}

#[test]
fn no_change_is_the_same_commitment() {
    let point = COMMITTER.commit(&values_of(8));
    assert_eq!(COMMITTER.update(&point, &[]), point);
}

#[test]
fn a_slot_named_twice_counts_both_changes() {
    let [first, second, third] = [9, 10, 11].map(Fr::from);
    let mut values = values_of(9);
    values[3] = first;
    let point = COMMITTER.commit(&values);
    let change = |old, new| SlotChange {
        slot: slot(3),
        old,
        new,
    };
    let updated = COMMITTER.update(&point, &[change(first, second), change(second, third)]);
    values[3] = third;
    assert_eq!(updated, COMMITTER.commit(&values));
}
