//! The rules of the scenarios and of the bench `acceptance` for a cap that should rest.

use trunkline_testkit::cap_at_rest::{AMPLITUDE_WINDOWS, REVERSAL_WINDOWS, amplitude, reversals};

#[test]
fn the_amplitude_is_that_of_any_twenty_windows() {
    let at_last: Vec<u64> = [1_000; AMPLITUDE_WINDOWS]
        .into_iter()
        .chain([1_250])
        .collect();
    assert_eq!(amplitude(&at_last), 0.25);
    // No twenty values in a row have both the least and the greatest cap.
    let slowly: Vec<u64> = [1_000]
        .into_iter()
        .chain([1_200; AMPLITUDE_WINDOWS - 1])
        .chain([1_500])
        .collect();
    assert_eq!(amplitude(&slowly), 0.25);
}

#[test]
fn fewer_windows_are_taken_as_a_whole() {
    assert_eq!(amplitude(&[800, 1_000, 900]), 0.25);
    assert_eq!(reversals(&[1, 2, 1]), 1);
    for too_few in [&[][..], &[500]] {
        assert_eq!((amplitude(too_few), reversals(too_few)), (0.0, 0));
    }
}

#[test]
fn a_cap_of_nothing_is_no_division_by_zero() {
    assert_eq!((amplitude(&[0, 0]), amplitude(&[0, 3])), (0.0, 2.0));
}

#[test]
fn a_cap_that_rests_on_its_way_back_has_turned() {
    assert_eq!(reversals(&[1, 2, 2, 2, 1, 1]), 1);
    assert_eq!(reversals(&[1, 2, 1, 2]), 2);
    assert_eq!(reversals(&[1, 2, 2, 3]), 0);
}

#[test]
fn reversals_are_those_of_any_ten_windows() {
    let far_apart = [1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 1];
    assert_eq!(reversals(&far_apart), 1);
    let within: [u64; REVERSAL_WINDOWS] = [1, 2, 2, 2, 1, 1, 1, 1, 1, 2];
    assert_eq!(reversals(&within), 2);
}
