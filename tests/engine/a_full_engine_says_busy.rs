use trunkline::{Batch, SubmitError};

use crate::support::{Rig, puts, without_hanging};

fn is_busy(result: Result<trunkline::Receipt, SubmitError>) -> bool {
    match result {
        Err(error @ SubmitError::Busy) => error.retry_can_help(),
        _ => false,
    }
}

#[test]
fn when_its_operations_are_spent_and_recovers() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.submit.batch_operations_max = 10;
            config.submit.in_flight_operations_max = 10;
        });
        let engine = rig.open();
        rig.disk.syncs.close();
        let many = |count: u32| puts((0..count).map(|key| (key.to_le_bytes(), "v")));
        let first = engine.try_submit(many(6)).unwrap();
        assert!(is_busy(engine.try_submit(many(5))));
        let second = engine.try_submit(many(4)).unwrap();
        assert!(is_busy(engine.try_submit(many(1))));
        assert_eq!(engine.metrics().submissions, 2);
        rig.disk.syncs.open();
        first.durable_blocking().unwrap();
        second.durable_blocking().unwrap();
        engine.drain_blocking().unwrap();
        assert_eq!(engine.try_submit(many(10)).unwrap().sequence(), 3);
    });
}

#[test]
fn when_its_bytes_are_spent_and_recovers() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.submit.batch_bytes_max = 1000;
            config.submit.in_flight_bytes_max = 1500;
        });
        let engine = rig.open();
        rig.disk.syncs.close();
        let value = "v".repeat(990);
        let first = engine.try_submit(puts([("first", &value)])).unwrap();
        assert!(is_busy(engine.try_submit(puts([("second", &value)]))));
        rig.disk.syncs.open();
        first.durable_blocking().unwrap();
        engine.drain_blocking().unwrap();
        engine.try_submit(puts([("second", &value)])).unwrap();
    });
}

/// What costs no operation takes room all the same.
#[test]
fn when_too_many_batches_of_metadata_alone_are_on_their_way() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.submit.batch_operations_max = 3;
            config.submit.in_flight_operations_max = 3;
        });
        let engine = rig.open();
        rig.disk.syncs.close();
        let mut note = Batch::new();
        note.metadata("note");
        for _ in 0..3 {
            engine.try_submit(note.clone()).unwrap();
        }
        assert!(is_busy(engine.try_submit(note)));
        rig.disk.syncs.open();
    });
}

#[test]
fn and_submit_waits_for_room() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.submit.batch_operations_max = 1;
            config.submit.in_flight_operations_max = 1;
        });
        let engine = rig.open();
        rig.disk.syncs.close();
        let first = engine.put_blocking("a", "1").unwrap();
        let waiting = std::thread::spawn({
            let engine = engine.clone();
            move || {
                engine
                    .put_blocking("a", "2")
                    .unwrap()
                    .durable_blocking()
                    .unwrap()
            }
        });
        rig.disk.syncs.wait_for_a_waiter();
        rig.disk.syncs.open();
        first.durable_blocking().unwrap();
        assert_eq!(waiting.join().unwrap().version, 2);
    });
}
