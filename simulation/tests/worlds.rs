//! The run of every build: simulated worlds from a fixed range of seeds.

use std::collections::BTreeSet;

use trunkline_simulation::{Selection, Worlds, describe, run, run_seeds, shrink};

/// The number of simulated batches.
const BATCHES: u64 = 50_000;
/// The number of worlds that run at the same time, each in one thread.
const THREADS: usize = 2;

#[test]
fn the_engine_does_what_the_model_says_in_every_world() {
    let range = Worlds {
        seeds: 0..u64::MAX,
        threads: THREADS,
        batches_max: Some(BATCHES),
    };
    let (counts, failing) = run_seeds(&range, |_| {});
    if let Some((selection, outcome)) = failing {
        let report = describe(&selection, &outcome);
        let (selection, outcome) = shrink(&selection, outcome);
        let smaller = describe(&selection, &outcome);
        let plan = outcome
            .failure
            .map(|failed| failed.plan)
            .unwrap_or_default();
        panic!("{report}\nSmaller:\n{smaller}\n{plan}");
    }
    assert!(counts.batches >= BATCHES);
    // Worlds without events would test nothing.
    let missing: Vec<_> = counts.named();
    let missing: Vec<_> = missing
        .into_iter()
        .filter(|(_, count)| *count == 0)
        .collect();
    assert!(missing.is_empty(), "no world had any of {missing:?}");
}

#[test]
fn one_seed_always_does_the_same() {
    for seed in 0..30 {
        let selection = Selection {
            seed,
            ..Selection::default()
        };
        assert_eq!(run(&selection), run(&selection));
    }
}

#[test]
fn another_schedule_of_the_same_plan_does_something_else() {
    let run = |schedule| {
        run(&Selection {
            seed: 1,
            schedule: Some(schedule),
            ..Selection::default()
        })
    };
    assert_ne!(run(1).trace_hash, run(2).trace_hash);
}

#[test]
fn a_world_whose_steps_are_all_left_out_still_opens_and_closes() {
    let whole = Selection {
        seed: 3,
        ..Selection::default()
    };
    let numbers = run(&whole).numbers;
    let empty = run(&Selection {
        left_out: BTreeSet::from_iter(1..=numbers),
        ..whole
    });
    assert_eq!((empty.failure, empty.counts.batches), (None, 0));
}
