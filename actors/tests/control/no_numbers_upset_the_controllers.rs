//! Whatever a window says, nothing panics and no decision leaves its limits.

use proptest::prelude::*;
use trunkline::Quantiles;
use trunkline::control::{
    Change, ControlSettings, Governor, Latencies, Limits, StageWindow, Window,
};

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(u64::MAX),
        0..2_000_000_u64,
        any::<u64>()
    ]
}

prop_compose! {
    fn quantiles()(count in number(), p50 in number(), p95 in number(), p99 in number(), max in number()) -> Quantiles {
        Quantiles { count, p50, p95, p99, max }
    }
}

prop_compose! {
    fn stage()(busy_us in number(), served in number(), queue_wait_us in quantiles()) -> StageWindow {
        StageWindow { busy_us, served, queue_wait_us }
    }
}

prop_compose! {
    fn pipeline()(
        length_us in number(),
        submissions in number(),
        operations_accepted in number(),
        operations_durable in number(),
        operations_waiting in number(),
        groups in number(),
        groups_full in number(),
        groups_in_flight in number(),
        group_operations in quantiles(),
        seal_wait_us in quantiles(),
        durable_us in quantiles(),
        stages in prop::array::uniform5(stage()),
    ) -> Window {
        Window {
            length_us, submissions, operations_accepted, operations_durable, operations_waiting, groups, groups_full,
            groups_in_flight, group_operations, seal_wait_us, durable_us, stages, ..Window::default()
        }
    }
}

prop_compose! {
    fn window()(
        pipeline in pipeline(),
        reads in number(),
        proofs in number(),
        value_cache_near_misses in number(),
        tree_bytes_max in number(),
        cells_restored in number(),
    ) -> Window {
        Window { reads, proofs, value_cache_near_misses, tree_bytes_max, cells_restored, ..pipeline }
    }
}

/// Latencies and how many there are of each.
fn samples() -> impl Strategy<Value = Vec<(u64, u32)>> {
    prop::collection::vec((number(), any::<u32>()), 0..4)
}

/// What is in force.
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
            // What was in force before may lie outside; it is only ever returned to.
            force.in_flight = *to;
        }
        Change::Pieces { work, from, to } => {
            let pieces = match work {
                trunkline::control::Work::Tree => &mut force.tree,
                trunkline::control::Work::Hash => &mut force.hash,
                trunkline::control::Work::Proof => &mut force.proof,
            };
            assert_eq!(*from, *pieces);
            assert!(between(1, *to, limits.cores.clamp(1, 128)));
            *pieces = *to;
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
        |(group_min, group_max, in_flight_min, in_flight_max, groups_max, cores)| Limits {
            group_operations_min: group_min,
            group_operations_max: group_max,
            in_flight_operations_min: in_flight_min,
            in_flight_operations_max: in_flight_max,
            groups_in_flight_max: groups_max,
            cores,
            ..Limits::default()
        },
    );
    prop_oneof![
        Just(Limits {
            cores: 8,
            ..Limits::default()
        }),
        any_limits
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_numbers_upset_the_controllers(
        limits in limits(),
        target_p99_ms in number(),
        samples_min in number(),
        windows in prop::collection::vec((window(), samples(), 1..6_usize), 1..30),
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
        for (mut window, samples, times) in windows {
            for _ in 0..times {
                window.group_operations_max = force.cap;
                window.in_flight_operations_max = force.in_flight;
                window.tree_pieces = force.tree;
                window.hash_pieces = force.hash;
                window.proof_pieces = force.proof;
                window.value_cache_bytes_max = force.value_bytes;
                let mut latencies = Latencies::default();
                for (latency_us, operations) in &samples {
                    latencies.record_many(*latency_us, *operations);
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
