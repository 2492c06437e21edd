//! Every scenario of `tests/scenarios`, over several seeds, against its bands.

use crate::scenario::scenarios;
use crate::verdict::verdicts;

#[test]
fn the_cap_finds_its_best_in_every_scenario() {
    let only = std::env::var("SCENARIO").ok();
    let seeds: u64 = std::env::var("SEEDS").map_or(1, |text| text.parse().unwrap());
    let mut wrong = Vec::new();
    for (name, scenario) in scenarios() {
        if only.as_ref().is_some_and(|only| *only != name) {
            continue;
        }
        for seed in std::env::var("SEED").map_or(1, |text| text.parse().unwrap())..=seeds {
            let (verdicts, windows) = verdicts(&scenario, seed);
            if only.is_some() {
                for w in &windows {
                    println!("{:3} cap {:7} inflight {:7} rate {:8.0} p99 {:8} under {:8}/{:5} full {:4}/{:4} waiting {:7} gif {} busy {:?} grp {}", w.number, w.group_operations_max, w.in_flight_operations_max, w.operations_durable as f64*2.0, w.durable_us.p99, w.durable_under_cap_us.p99, w.durable_under_cap_us.count, w.groups_full, w.groups, w.operations_waiting, w.groups_in_flight, w.stages.map(|s| s.busy_us/500), w.group_operations.p50);
                }
            }
            for (at, (verdict, phase)) in verdicts.iter().zip(&scenario.phase).enumerate() {
                let expect = &phase.expect;
                let holds = verdict.ratio >= expect.ratio_min
                    && verdict.over <= expect.over_max
                    && verdict.amplitude <= expect.amplitude_max
                    && verdict.reversals <= expect.reversals_max
                    && verdict.moves <= expect.moves_max
                    && (expect.cap[0]..=expect.cap[1]).contains(&verdict.cap);
                println!("{} {name:24} {seed} {at} ratio {:.3} over {:.3} ampl {:.2} rev {} moves {} cap {:7} inflight {:7} best {:?} rate {:.0}", if holds {"  "} else {"!!"}, verdict.ratio, verdict.over, verdict.amplitude, verdict.reversals, verdict.moves, verdict.cap, verdict.in_flight, verdict.best, verdict.rate);
                if !holds {
                    wrong.push(format!("{name}, seed {seed}, phase {at} ({}): {verdict:?}", scenario.about));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
