//! The pure half of the bench `acceptance`.

#[path = "../../benches/acceptance/figures.rs"]
mod figures;

use trunkline::Quantiles;
use trunkline::control::Window;

use figures::{Aim, Criterion, Finding, Rest, Share, Shift, Spread};

const TARGET_US: u64 = 200_000;

/// Windows of half a second, the first of them from half a second on: 1,000 operations durable in each, at a p99 and
/// under a cap.
fn windows(each: impl IntoIterator<Item = (u64, u64)>) -> Vec<Window> {
    let window = |(number, (p99, cap)): (u64, (u64, u64))| Window {
        ended_us: (number + 2) * 500_000,
        length_us: 500_000,
        operations_durable: 1_000,
        group_operations_max: cap,
        durable_us: Quantiles {
            count: 2,
            p99,
            ..Quantiles::default()
        },
        ..Window::default()
    };
    (0..).zip(each).map(window).collect()
}

fn under(caps: impl IntoIterator<Item = u64>) -> Rest {
    let windows = windows(caps.into_iter().map(|cap| (90_000, cap)));
    Rest::of(&windows, 0, TARGET_US).expect("windows that count")
}

fn at(per_second: f64, p99_us: f64) -> Rest {
    Rest {
        per_second,
        p99_us,
        ..under([500; 2])
    }
}

#[test]
fn windows_that_began_too_early_or_were_empty_do_not_count() {
    let mut all = windows([900_000, 100_000, 200_000, 200_001, 0].map(|p99| (p99, 20_000)));
    all[4].durable_us.count = 0;
    all[4].operations_durable = 7;
    let expected = Rest {
        per_second: 2_000.0,
        p99_us: 200_000.0,
        over: Share { part: 1, of: 3 },
        amplitude_percent: 0.0,
        reversals: 0,
    };
    assert_eq!(Rest::of(&all, 999_999, TARGET_US), Some(expected));
    assert_eq!(Rest::of(&all, 2_499_999, TARGET_US), None);
}

#[test]
fn the_cap_is_looked_at_in_the_last_twenty_windows() {
    let settled = under([100, 900, 100].into_iter().chain([1_000; 20]));
    assert_eq!((settled.amplitude_percent, settled.reversals), (0.0, 0));
    let moving = under([1_000; 19].into_iter().chain([1_250]));
    assert_eq!((moving.amplitude_percent, moving.reversals), (25.0, 0));
}

#[test]
fn a_cap_that_rests_on_its_way_back_has_turned() {
    assert_eq!(under([1, 2, 2, 2, 1, 1]).reversals, 1);
    assert_eq!(under([1, 2, 1, 2]).reversals, 2);
    assert_eq!(under([1, 2, 2, 3]).reversals, 0);
}

#[test]
fn reversals_are_those_of_any_ten_windows() {
    let ups_and_downs = [1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 1];
    assert_eq!(under(ups_and_downs).reversals, 1);
}

#[test]
fn the_best_static_cap_is_one_that_keeps_the_target() {
    let statics = [
        at(900.0, 200_001.0),
        at(800.0, 200_000.0),
        at(400.0, 1_000.0),
    ];
    let adaptive = at(600.0, 300_000.0);
    let against = |statics: &[Rest]| adaptive.against_best(statics.iter(), TARGET_US);
    assert_eq!(against(&statics), Some(0.75));
    assert_eq!(against(&statics[..1]), None);
}

#[test]
fn a_shift_divides_windows_into_before_settling_and_later() {
    // Every third one is above the target; the shift comes after ten windows; the window behind it is left out.
    let p99 = |number: u64| {
        if number.is_multiple_of(3) {
            300_000
        } else {
            100_000
        }
    };
    let mut all = windows((0..30).map(|number| (p99(number), 20_000)));
    all[29].operations_durable = 3_000;
    let shift = Shift::of(&all, 1_000_000..5_500_000, 6_000_000, TARGET_US);
    let expected = Shift {
        before: Share { part: 3, of: 9 },
        settling: Share { part: 5, of: 15 },
        later: Share { part: 1, of: 4 },
        per_second_before: 2_000.0,
        per_second_later: 3_000.0,
    };
    assert_eq!(shift, expected);
    let early = Shift::of(&all[..12], 1_000_000..5_500_000, 6_000_000, TARGET_US);
    assert_eq!((early.settling.of, early.later.of), (1, 0));
}

#[test]
fn shares_add_up() {
    let shares = [Share { part: 1, of: 20 }, Share { part: 2, of: 10 }];
    let sum: Share = shares.into_iter().sum();
    assert_eq!(
        (sum.to_string(), sum.percent()),
        ("3 of 30".to_owned(), Some(10.0))
    );
    assert_eq!(Share::default().percent(), None);
}

#[test]
fn a_spread_has_the_upper_middle() {
    let spread = Spread::of([4.0, 1.0, 3.0, 2.0].into_iter()).expect("figures");
    assert_eq!(
        (spread.least, spread.middle, spread.greatest),
        (1.0, 3.0, 4.0)
    );
    assert_eq!(
        format!("{spread} {spread:.0}"),
        "1.00 / **3.00** / 4.00 1 / **3** / 4"
    );
    assert_eq!(Spread::of([].into_iter()), None);
}

#[test]
fn a_criterion_says_who_misses_it() {
    let line = |aim, figures: &[(&str, Option<f64>)]| {
        let finding = |&(name, figure): &(&str, Option<f64>)| Finding {
            name: name.to_owned(),
            figure,
            shown: figure.map_or("–".to_owned(), |figure| figure.to_string()),
        };
        let criterion = Criterion {
            what: "windows".to_owned(),
            aim,
            unit: " %",
            findings: figures.iter().map(finding).collect(),
        };
        criterion.to_string()
    };
    let (one, two) = (("one", Some(5.0)), ("two", Some(5.1)));
    let most = Aim::AtMost(5.0);
    assert_eq!(
        line(most, &[one]),
        "- **met**: windows, at most 5 %; one: 5"
    );
    assert_eq!(
        line(most, &[one, two, ("three", None)]),
        "- **missed** by two: windows, at most 5 %; one: 5; two: 5.1; three: –"
    );
    let least = Aim::AtLeast(5.05);
    assert!(line(least, &[one, two]).starts_with("- **missed** by one: windows, at least 5.05 %"));
    assert!(line(most, &[one, ("three", None)]).starts_with("- **not measured** for three: "));
}
