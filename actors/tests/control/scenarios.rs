//! Every scenario of `tests/scenarios`, over several seeds, against its bands.
//!
//! `TRUNKLINE_SCENARIO` runs one alone and prints it, `TRUNKLINE_SEEDS` sets the number of seeds.

use crate::scenario::{Expect, Scenario, scenarios};
use crate::verdict::{Verdict, verdicts};

const SEEDS: u64 = 3;

#[test]
fn the_cap_finds_its_best_in_every_scenario() {
    let only = std::env::var("TRUNKLINE_SCENARIO").ok();
    let seeds = std::env::var("TRUNKLINE_SEEDS")
        .ok()
        .and_then(|seeds| seeds.parse().ok());
    let chosen: Vec<(String, Scenario)> = scenarios()
        .into_iter()
        .filter(|(name, _)| only.as_ref().is_none_or(|only| only == name))
        .collect();
    assert!(!chosen.is_empty(), "no such scenario");
    let seeds = seeds.unwrap_or(SEEDS);
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = chosen
            .iter()
            .map(|(name, scenario)| scope.spawn(move || judge(name, scenario, seeds)))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Returns the violations of the bands, over all seeds.
fn judge(name: &str, scenario: &Scenario, seeds: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    for seed in 1..=seeds {
        let verdicts = verdicts(scenario, seed);
        for (at, (verdict, phase)) in verdicts.iter().zip(&scenario.phase).enumerate() {
            println!("{name} seed {seed} phase {at}: {verdict}");
            if !holds(verdict, &phase.expect) {
                let about = &scenario.about;
                wrong.push(format!(
                    "{name} ({about}), seed {seed}, phase {at}: {verdict}"
                ));
            }
        }
    }
    wrong
}

fn holds(verdict: &Verdict, expect: &Expect) -> bool {
    verdict.ratio >= expect.ratio_min
        && verdict.over <= expect.over_max
        && verdict.amplitude <= expect.amplitude_max
        && verdict.reversals <= expect.reversals_max
        && verdict.moves <= expect.moves_max
        && (expect.cap[0]..=expect.cap[1]).contains(&verdict.cap)
}
