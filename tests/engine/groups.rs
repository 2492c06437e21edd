//! The grouping of submissions into versions.

use trunkline::config::ControlMode;
use trunkline::decisions::Window;
use trunkline::{Batch, Engine};

use crate::support::{Rig, puts, submit, until, without_hanging};

/// Returns the first and last sequence number of each version.
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
fn groups_keep_their_limit_of_operations() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.group.operations_max = 10;
            config.group.linger_ms = 60_000;
        });
        let engine = rig.open();
        // A group is sealed when it is full. A submission is never split; one that is too large is its own group.
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
fn groups_keep_their_limit_of_bytes() {
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

/// No group takes everything that waits; otherwise nothing would overlap with it.
#[test]
fn groups_are_a_share_of_what_is_in_flight() {
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
            // Nothing may leave the pipeline before all groups are sealed.
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
            // The last group has the rest.
            until(|| closed() == (groups, groups - 1));
        });
    }
}

/// Lingering ends without another submission or a drain.
#[test]
fn a_group_lingers_no_longer_than_configured() {
    without_hanging(|| {
        let rig = Rig::with(|config| config.group.linger_ms = 1);
        let engine = rig.open();
        for round in 0..20 {
            crate::support::put(&engine, "key", &format!("{round}"));
        }
    });
}

#[test]
fn groups_closed_by_bytes_are_told_apart_from_those_closed_by_operations() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.control.window_ms = 10;
            config.control.mode = ControlMode::Fixed;
            config.group.operations_max = 10;
            config.group.bytes_max = 10_000;
        });
        let engine = rig.open();
        let large = vec![7; 5_000];
        // Two of them exceed the bytes of a group, and are far below its operations.
        submit(
            &engine,
            puts((0..2_u32).map(|key| (key.to_le_bytes(), &large))),
        );
        submit(
            &engine,
            puts((0..10_u32).map(|key| (key.to_le_bytes(), "v"))),
        );
        submit(&engine, puts([("key", "v")]));

        let sum =
            |figure: fn(&Window) -> u64| engine.windows_since(0).iter().map(figure).sum::<u64>();
        until(|| sum(|window| window.operations_durable) == 13);
        assert_eq!(sum(|window| window.groups), 3);
        assert_eq!(sum(|window| window.groups_full), 1);
        assert_eq!(sum(|window| window.groups_full_bytes), 1);
    });
}

#[test]
fn metadata_ends_its_version_and_is_in_its_record() {
    without_hanging(|| {
        // Groups without metadata wait for other submissions.
        let rig = Rig::with(|config| config.group.linger_ms = 60_000);
        let engine = rig.open();
        let receipts: Vec<_> = [
            None,
            Some("one"),
            None,
            None,
            Some("two"),
            Some("three"),
            None,
        ]
        .into_iter()
        .zip(0..)
        .map(|(metadata, key): (Option<&str>, u32)| {
            let mut batch = puts([(key.to_le_bytes(), "v")]);
            batch.metadata(metadata.unwrap_or_default());
            engine.submit_blocking(batch).unwrap()
        })
        .collect();
        engine.drain_blocking().unwrap();
        let versions: Vec<u64> = receipts
            .iter()
            .map(|receipt| receipt.durable_blocking().unwrap().version)
            .collect();
        assert_eq!(versions, [1, 1, 2, 2, 2, 3, 4]);
        let metadata = |version| {
            let snapshot = engine.snapshot_at(version).unwrap();
            String::from_utf8(snapshot.record().metadata.clone()).unwrap()
        };
        assert_eq!([1, 2, 3, 4].map(metadata), ["one", "two", "three", ""]);
    });
}

#[test]
fn metadata_ends_its_version_even_without_an_operation() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        let mut batch = Batch::new();
        batch.metadata("block 7");
        let (_, durable) = crate::support::submit(&engine, batch);
        assert_eq!(durable.state_digest, [0; 32]);
        engine.shutdown_blocking().unwrap();
        assert_eq!(rig.open().snapshot().record().metadata, b"block 7");
    });
}

/// A batch with metadata does not linger for others that could not join its version anyway.
#[test]
fn metadata_ends_its_version_at_once() {
    without_hanging(|| {
        let rig = Rig::with(|config| config.group.linger_ms = 60_000);
        let engine = rig.open();
        let lingering = engine.put_blocking("a", "1").unwrap();
        let mut batch = puts([("b", "1")]);
        batch.metadata("m");
        let (_, durable) = crate::support::submit(&engine, batch);
        assert_eq!(
            lingering.durable_blocking().unwrap().version,
            durable.version
        );
    });
}
