use trunkline::Engine;
use trunkline::config::ControlMode;

use crate::support::{Rig, puts, until, without_hanging};

/// First and last sequence number of each version.
fn ranges(engine: &Engine) -> Vec<(u64, u64)> {
    let newest = engine.snapshot().version();
    let record = |version| {
        let snapshot = engine.snapshot_at(version).unwrap();
        (
            snapshot.record().first_sequence,
            snapshot.record().last_sequence,
        )
    };
    (1..=newest).map(record).collect()
}

fn many(operations: u32) -> trunkline::Batch {
    puts((0..operations).map(|key| (key.to_le_bytes(), "v")))
}

#[test]
fn in_operations() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.group.operations_max = 10;
            config.group.linger_ms = 60_000;
        });
        let engine = rig.open();
        // Sealed when full; a submission is never split; one that is too large goes alone.
        for operations in [4, 4, 4, 6, 25, 1, 9, 10, 3] {
            engine.submit_blocking(many(operations)).unwrap();
        }
        engine.drain_blocking().unwrap();
        assert_eq!(
            ranges(&engine),
            [(1, 2), (3, 4), (5, 5), (6, 7), (8, 8), (9, 9)]
        );
        let groups = engine.metrics().group_operations;
        assert_eq!((groups.count, groups.max), (6, 25));
    });
}

#[test]
fn in_bytes() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.group.bytes_max = 100;
            config.group.linger_ms = 60_000;
        });
        let engine = rig.open();
        for bytes in [60, 40, 41, 60, 500, 99] {
            engine.put_blocking("k", "v".repeat(bytes - 1)).unwrap();
        }
        engine.drain_blocking().unwrap();
        assert_eq!(ranges(&engine), [(1, 2), (3, 3), (4, 4), (5, 5), (6, 6)]);
    });
}

#[test]
fn requirements_count_as_operations() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.group.operations_max = 4;
            config.group.linger_ms = 60_000;
        });
        let engine = rig.open();
        for _ in 0..3 {
            let mut batch = many(1);
            batch.require("other", trunkline::Requirement::Absent);
            engine.submit_blocking(batch).unwrap();
        }
        engine.drain_blocking().unwrap();
        assert_eq!(ranges(&engine), [(1, 2), (3, 3)]);
    });
}

/// No group takes all that waits, or nothing would overlap with it.
#[test]
fn in_shares_of_what_is_inside() {
    for (in_flight_max, expected) in [(4, vec![(1, 2), (3, 4), (5, 6)]), (1, vec![(1, 6)])] {
        without_hanging(move || {
            let rig = Rig::with(|config| {
                config.group.operations_max = 1_000_000;
                config.group.in_flight_max = in_flight_max;
                config.group.linger_ms = 60_000;
                config.control.window_ms = 10;
                config.control.mode = ControlMode::Fixed;
            });
            let engine = rig.open();
            for _ in 0..6 {
                engine.submit_blocking(many(8_192)).unwrap();
            }
            // What has left is inside no more: nothing leaves before all are sealed.
            rig.disk.appends.close();
            std::thread::scope(|scope| {
                let drained = scope.spawn(|| engine.drain_blocking());
                until(|| engine.metrics().groups_in_flight == expected.len() as u64);
                rig.disk.appends.open();
                drained.join().unwrap().unwrap();
            });
            assert_eq!(ranges(&engine), expected);
            let closed = || {
                let windows = engine.windows_since(0);
                let sealed: u64 = windows.iter().map(|window| window.groups).sum();
                let shared: u64 = windows.iter().map(|window| window.groups_shared).sum();
                (sealed, shared)
            };
            let groups = expected.len() as u64;
            // The last group took what was left.
            until(|| closed() == (groups, groups - 1));
        });
    }
}

/// Nobody has to ask: lingering ends by itself.
#[test]
fn lingering_ends() {
    without_hanging(|| {
        let rig = Rig::with(|config| config.group.linger_ms = 1);
        let engine = rig.open();
        for round in 0..20 {
            crate::support::put(&engine, "key", &format!("{round}"));
        }
    });
}
