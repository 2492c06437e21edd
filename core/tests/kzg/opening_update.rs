//! An opening updated with the changes is the opening of all values.

use proptest::prelude::*;
use trunkline_core::kzg::{CommitmentPoint, Fr, SlotChange, slot_value};

use crate::support::{COMMITTER, Values, slot, values_of};

fn any_value() -> impl Strategy<Value = Fr> {
    prop_oneof![
        1 => Just(Fr::default()),
        4 => any::<[u8; 32]>().prop_map(|digest| slot_value(&digest)),
    ]
}

/// Changes the values and returns the changes.
fn change(values: &mut Values, new: impl IntoIterator<Item = (usize, Fr)>) -> Vec<SlotChange> {
    let changes = new.into_iter().map(|(index, new)| {
        let old = std::mem::replace(&mut values[index], new);
        let slot = slot(index);
        SlotChange { slot, old, new }
    });
    changes.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn an_opening_moves_over_several_versions(
        opened in 0..128_usize,
        own in any_value(),
        versions in prop::collection::vec(
            prop::collection::btree_map(0..128_usize, any_value(), 0..40),
            1..4,
        ),
    ) {
        let mut values = values_of(21);
        let mut opening = COMMITTER.open_point(&values, slot(opened));
        for (number, mut version) in versions.into_iter().enumerate() {
            // In every second version the opened slot is among the changes.
            if number % 2 == 0 {
                version.insert(opened, own);
            }
            let changes = change(&mut values, version);
            opening = COMMITTER.update_opening(&opening, &changes, slot(opened));
            prop_assert_eq!(opening, COMMITTER.open_point(&values, slot(opened)));
        }
    }
}

#[test]
fn an_opening_moves_if_every_slot_changes() {
    for opened in [0, 1, 77, 127] {
        let mut values = values_of(22);
        let opening = COMMITTER.open_point(&values, slot(opened));
        let changes = change(&mut values, values_of(23).into_iter().enumerate());
        let moved = COMMITTER.update_opening(&opening, &changes, slot(opened));
        assert_eq!(moved.to_bytes(), COMMITTER.open(&values, slot(opened)));
    }
}

#[test]
fn an_opening_moves_if_the_opened_slot_alone_changes() {
    let mut values = values_of(24);
    let opening = COMMITTER.open_point(&values, slot(8));
    let changes = change(&mut values, [(8, Fr::from(3))]);
    let moved = COMMITTER.update_opening(&opening, &changes, slot(8));
    assert_eq!(moved, COMMITTER.open_point(&values, slot(8)));
}

#[test]
fn an_opening_moves_from_the_empty_state_and_back() {
    let mut values = [Fr::default(); 128];
    let changes = change(&mut values, [(3, Fr::from(1)), (4, Fr::from(2))]);
    let full = COMMITTER.update_opening(&CommitmentPoint::IDENTITY, &changes, slot(4));
    assert_eq!(full, COMMITTER.open_point(&values, slot(4)));
    let changes = change(&mut values, [(3, Fr::default()), (4, Fr::default())]);
    let empty = COMMITTER.update_opening(&full, &changes, slot(4));
    assert_eq!(empty, CommitmentPoint::IDENTITY);
}

#[test]
fn an_opening_stays_without_changes() {
    let opening = COMMITTER.open_point(&values_of(25), slot(5));
    assert_eq!(COMMITTER.update_opening(&opening, &[], slot(5)), opening);
}

#[test]
fn an_opening_moves_if_a_slot_is_named_twice() {
    let mut values = values_of(26);
    let opening = COMMITTER.open_point(&values, slot(5));
    let twice = [3, 5, 3, 5].map(|index| (index, Fr::from(index as u64 + values.len() as u64)));
    let mut changes = change(&mut values, twice);
    changes.extend(change(&mut values, [(5, Fr::from(9)), (3, Fr::from(7))]));
    let moved = COMMITTER.update_opening(&opening, &changes, slot(5));
    assert_eq!(moved, COMMITTER.open_point(&values, slot(5)));
}
