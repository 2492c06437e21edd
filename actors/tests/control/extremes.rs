//! No window causes a panic or a decision outside of its limits.

use proptest::prelude::*;
use trunkline::Quantiles;
use trunkline_actors::adaptive::{ControlSettings, Governor, Limits};
use trunkline_actors::decisions::{Change, Latencies, Window, Work};

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(u64::MAX),
        0..2_000_000_u64,
        any::<u64>()
    ]
}

/// Returns a window of numbers that may contradict each other.
fn window(numbers: &[u64]) -> Window {
    let mut numbers = numbers.iter().copied().cycle();
    let mut next = || numbers.next().unwrap_or(0);
    let mut window = Window::default();
    for quantiles in [
        &mut window.group_operations,
        &mut window.seal_wait_us,
        &mut window.durable_us,
    ] {
        *quantiles = Quantiles {
            count: next(),
            p50: next(),
            p95: next(),
            p99: next(),
            max: next(),
        };
    }
    for stage in &mut window.stages {
        stage.busy_us = next();
    }
    for field in [
        &mut window.length_us,
        &mut window.operations_accepted,
        &mut window.operations_durable,
        &mut window.operations_waiting,
        &mut window.groups,
        &mut window.groups_full,
        &mut window.groups_full_bytes,
        &mut window.groups_shared,
        &mut window.groups_in_flight,
        &mut window.reads,
        &mut window.proofs,
        &mut window.value_cache_near_misses,
        &mut window.value_cache_near_bytes,
        &mut window.tree_bytes_max,
        &mut window.pages_restored,
    ] {
        *field = next();
    }
    window
}

/// Returns latencies, each with its count.
fn samples() -> impl Strategy<Value = Vec<(u64, u32)>> {
    prop::collection::vec((number(), any::<u32>()), 0..4)
}

/// The settings in force.
struct Force {
    cap: u64,
    in_flight: u64,
    tree: u64,
    hash: u64,
    proof: u64,
    value_bytes: u64,
}

fn carry_out(force: &mut Force, change: &Change, limits: &Limits) {
    let between = |low: u64, value: u64, high: u64| (low.min(high)..=high.max(1)).contains(&value);
    match change {
        Change::GroupOperationsMax { from, to } => {
            assert_eq!(*from, force.cap);
            assert!(between(
                limits.group_operations_min,
                *to,
                limits.group_operations_max
            ));
            force.cap = *to;
        }
        Change::InFlightOperationsMax { from, to } => {
            assert_eq!(*from, force.in_flight);
            // The setting in force before may lie outside; it is only ever returned to.
            force.in_flight = *to;
        }
        Change::Parallelism { work, from, to } => {
            let shards = match work {
                Work::Tree => &mut force.tree,
                Work::Hash => &mut force.hash,
                Work::Proof => &mut force.proof,
            };
            assert_eq!(*from, *shards);
            let is_proof = *work == Work::Proof;
            assert!(!is_proof || between(1, *to, limits.read_threads.clamp(1, 128)));
            *shards = *to;
        }
        Change::ValueCacheBytes { from, to } => {
            assert_eq!(*from, force.value_bytes);
            assert!(*to >= limits.value_cache_bytes_min);
            force.value_bytes = *to;
        }
        Change::HotPrefixes { prefixes } => assert!(prefixes.len() <= 32),
        _ => {}
    }
}

fn limits() -> impl Strategy<Value = Limits> {
    let any_limits = (number(), number(), number(), number(), number(), number()).prop_map(
        |(group_min, group_max, in_flight_min, in_flight_max, groups_max, threads)| Limits {
            group_operations_min: group_min,
            group_operations_max: group_max,
            in_flight_operations_min: in_flight_min,
            in_flight_operations_max: in_flight_max,
            groups_in_flight_max: groups_max,
            read_threads: threads / 2,
            ..Limits::default()
        },
    );
    prop_oneof![
        Just(Limits {
            read_threads: 4,
            ..Limits::default()
        }),
        any_limits
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_numbers_upset_the_controllers(
        limits in limits(),
        target_p99_ms in number(),
        samples_min in number(),
        windows in prop::collection::vec(
            (prop::collection::vec(number(), 34), samples(), 1..6_usize),
            1..30,
        ),
    ) {
        let settings = ControlSettings { target_p99_ms, samples_min, ..ControlSettings::default() };
        let mut governor = Governor::new(&settings, &limits);
        // The shell starts within the limits.
        let mut force = Force {
            cap: 20_000.clamp(limits.group_operations_min.min(limits.group_operations_max), limits.group_operations_max.max(1)),
            in_flight: limits.in_flight_operations_max.max(1),
            tree: 1, hash: 1, proof: 1,
            value_bytes: 64 << 20,
        };
        for (numbers, samples, times) in windows {
            let mut window = window(&numbers);
            for _ in 0..times {
                window.group_operations_max = force.cap;
                window.in_flight_operations_max = force.in_flight;
                window.proof_parallelism = force.proof;
                window.value_cache_bytes_max = force.value_bytes;
                let mut latencies = Latencies::default();
                for (latency_us, operations) in &samples {
                    latencies.record(*latency_us, u64::from(*operations));
                    latencies.weigh(*latency_us, u64::from(*operations));
                }
                governor.touch(samples.iter().map(|(latency_us, _)| *latency_us as u16));
                for proposal in governor.decide(&window, &latencies) {
                    carry_out(&mut force, &proposal.change, &limits);
                }
                prop_assert!(force.in_flight <= limits.in_flight_operations_max.max(1));
            }
        }
    }
}
