use trunkline_core::history::{HISTORY, Inclusion, InclusionError, OUTCOMES, RangeDomains};

use crate::model::{self, Hash, Names};

const COUNT_MAX: usize = 33;

fn items(count: usize) -> Vec<Hash> {
    (0..count).map(|index| [index as u8; 32]).collect()
}

/// Calls `check` for every item of every small range, with its inclusion proof.
fn each(names: Names, mut check: impl FnMut(usize, usize, &Inclusion, &Hash)) {
    for count in 1..=COUNT_MAX {
        let items = items(count);
        let digest = model::digest(names, &items);
        for index in 0..count {
            let inclusion = model::inclusion(names, &items, index);
            check(count, index, &inclusion, &digest);
        }
    }
}

fn shown(inclusion: &Inclusion, count: usize, index: usize, item: u8, digest: &Hash) -> bool {
    shown_under(&HISTORY, inclusion, count, index, item, digest)
}

fn shown_under(
    domains: &RangeDomains,
    inclusion: &Inclusion,
    count: usize,
    index: usize,
    item: u8,
    digest: &Hash,
) -> bool {
    let (count, index) = (count as u64, index as u64);
    inclusion
        .verify(domains, count, index, &[item; 32], digest)
        .is_ok()
}

#[test]
fn an_item_is_shown_in_both_kinds_of_ranges_and_in_no_other() {
    each(model::HISTORY, |count, index, inclusion, digest| {
        assert!(shown(inclusion, count, index, index as u8, digest));
        let other = shown_under(&OUTCOMES, inclusion, count, index, index as u8, digest);
        assert!(!other);
    });
    each(model::OUTCOMES, |count, index, inclusion, digest| {
        let shown = shown_under(&OUTCOMES, inclusion, count, index, index as u8, digest);
        assert!(shown);
    });
}

#[test]
fn an_item_is_shown_at_no_other_place() {
    each(model::HISTORY, |count, index, inclusion, digest| {
        for other in (0..count + 2).filter(|other| *other != index) {
            let item = index as u8;
            assert!(!shown(inclusion, count, other, item, digest));
        }
    });
}

#[test]
fn an_item_is_shown_as_no_other_item() {
    each(model::HISTORY, |count, index, inclusion, digest| {
        for other in (0..count + 1).filter(|other| *other != index) {
            let item = other as u8;
            assert!(!shown(inclusion, count, index, item, digest));
        }
    });
}

#[test]
fn an_item_is_shown_in_a_range_of_no_other_length() {
    each(model::HISTORY, |count, index, inclusion, digest| {
        for other in (0..2 * COUNT_MAX).filter(|other| *other != count) {
            let item = index as u8;
            assert!(!shown(inclusion, other, index, item, digest));
        }
    });
}

#[test]
fn an_added_missing_changed_or_exchanged_digest_is_refused() {
    each(model::HISTORY, |count, index, inclusion, digest| {
        let item = index as u8;
        let refused = |changed: Inclusion| !shown(&changed, count, index, item, digest);
        for list in [siblings, peaks] {
            let length = list(&mut inclusion.clone()).len();
            for place in 0..=length {
                let mut changed = inclusion.clone();
                list(&mut changed).insert(place, [9; 32]);
                assert!(refused(changed));
            }
            for place in 0..length {
                let mut changed = inclusion.clone();
                list(&mut changed).remove(place);
                assert!(refused(changed));
                let mut changed = inclusion.clone();
                list(&mut changed)[place][31] ^= 1;
                assert!(refused(changed));
                for other in 0..place {
                    let mut changed = inclusion.clone();
                    list(&mut changed).swap(place, other);
                    assert!(refused(changed));
                }
            }
        }
    });
}

fn siblings(inclusion: &mut Inclusion) -> &mut Vec<Hash> {
    &mut inclusion.siblings
}

fn peaks(inclusion: &mut Inclusion) -> &mut Vec<Hash> {
    &mut inclusion.peaks
}

#[test]
fn the_broken_rule_is_named() {
    let items = items(11);
    let digest = model::digest(model::HISTORY, &items);
    let whole = model::inclusion(model::HISTORY, &items, 9);
    let verify =
        |inclusion: &Inclusion, index| inclusion.verify(&HISTORY, 11, index, &items[9], &digest);
    assert_eq!(verify(&whole, 9), Ok(()));
    let index = InclusionError::Index {
        index: 11,
        count: 11,
    };
    assert_eq!(verify(&whole, 11), Err(index));
    assert_eq!(verify(&whole, 8), Err(InclusionError::Digest));
    let siblings = InclusionError::SiblingCount {
        expected: 3,
        found: 1,
    };
    assert_eq!(verify(&whole, 0), Err(siblings));
    let mut longer = whole.clone();
    longer.peaks.push([0; 32]);
    let peaks = InclusionError::PeakCount {
        expected: 2,
        found: 3,
    };
    assert_eq!(verify(&longer, 9), Err(peaks));
}

#[test]
fn any_numbers_have_an_answer() {
    let empty = Inclusion::default();
    let longest = Inclusion {
        siblings: vec![[1; 32]; 63],
        peaks: vec![[2; 32]; 63],
    };
    let numbers = [
        0,
        1,
        2,
        3,
        u64::MAX / 2,
        u64::MAX / 2 + 1,
        u64::MAX - 1,
        u64::MAX,
    ];
    for count in numbers {
        for index in numbers {
            for inclusion in [&empty, &longest] {
                let answer = inclusion.verify(&HISTORY, count, index, &[3; 32], &[0; 32]);
                assert!(answer.is_err());
            }
        }
    }
}
