//! Admission: accepted and refused batches, their order, and a busy engine.

use trunkline::core::params::{KEY_BYTES_MAX, METADATA_BYTES_MAX, VALUE_BYTES_MAX};
use trunkline::{Batch, BatchError, Engine, ReadError, Receipt, Requirement, SubmitError};

use crate::support::{Rig, put, puts, without_hanging};

#[test]
fn a_batch_over_a_limit_is_refused_and_changes_nothing() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.submit.batch_operations_max = 3;
            config.submit.in_flight_operations_max = 3;
        });
        let engine = rig.open();
        let key = |bytes: usize| vec![b'k'; bytes];
        let mut required = Batch::new();
        required.put("a", "1").require("", Requirement::Absent);
        let mut noted = puts([("a", "1")]);
        noted.metadata(vec![0; METADATA_BYTES_MAX + 1]);
        let mut four = puts([("a", "1"), ("b", "1")]);
        four.require("c", Requirement::Absent)
            .require("d", Requirement::Absent);
        let cases = [
            (Batch::new(), BatchError::Empty),
            (puts([("", "1")]), BatchError::KeyEmpty { index: 0 }),
            (required, BatchError::KeyEmpty { index: 1 }),
            (
                puts([(b"a".to_vec(), "1"), (key(KEY_BYTES_MAX + 1), "1")]),
                BatchError::KeyTooLong {
                    index: 1,
                    bytes: KEY_BYTES_MAX + 1,
                },
            ),
            (
                puts([("a", vec![0; VALUE_BYTES_MAX + 1])]),
                BatchError::ValueTooLong {
                    index: 0,
                    bytes: VALUE_BYTES_MAX + 1,
                },
            ),
            (
                four,
                BatchError::TooManyOperations {
                    operations: 4,
                    operations_max: 3,
                },
            ),
            (
                noted,
                BatchError::MetadataTooLong {
                    bytes: METADATA_BYTES_MAX + 1,
                },
            ),
        ];
        for (batch, expected) in cases {
            for result in [
                engine.submit_blocking(batch.clone()),
                engine.try_submit(batch),
            ] {
                let Err(error @ SubmitError::Batch(found)) = result else {
                    panic!("{expected:?} was expected, not {result:?}");
                };
                assert_eq!(found, expected);
                assert!(!error.retry_can_help());
            }
        }
        assert_eq!(engine.snapshot().version(), 0);
        let metrics = engine.metrics();
        assert_eq!((metrics.submissions, metrics.accepted_us.count), (0, 0));
        // A key of the greatest length is accepted, and no refused batch took a sequence number before it.
        let longest = engine.put_blocking(key(KEY_BYTES_MAX), "1").unwrap();
        assert_eq!(longest.sequence(), 1);
    });
}

#[test]
fn a_batch_with_too_many_bytes_is_refused() {
    without_hanging(|| {
        let rig = Rig::with(|config| config.submit.batch_bytes_max = 100);
        let engine = rig.open();
        let refused = engine.submit_blocking(puts([("k", "v".repeat(100))]));
        let expected = BatchError::TooManyBytes {
            bytes: 101,
            bytes_max: 100,
        };
        assert!(matches!(refused, Err(SubmitError::Batch(found)) if found == expected));
        put(&engine, "k", &"v".repeat(99));
    });
}

#[test]
fn reads_of_keys_over_a_limit_are_refused() {
    without_hanging(|| {
        let engine = Rig::new().open();
        let snapshot = engine.snapshot();
        let long = vec![0; KEY_BYTES_MAX + 1];
        for key in [&b""[..], &long] {
            let errors = [
                engine.get(key).unwrap_err(),
                engine.contains(key).unwrap_err(),
                engine.multi_get(&[key]).unwrap_err(),
                engine.get_durable(key).unwrap_err(),
                snapshot.get(key).unwrap_err(),
                snapshot.multi_get(&[b"fine", key]).unwrap_err(),
                snapshot.value_hash(key).unwrap_err(),
            ];
            for error in errors {
                assert!(matches!(error, ReadError::Key(_)), "{error:?}");
                assert!(!error.retry_can_help());
            }
        }
    });
}

fn is_busy(result: Result<trunkline::Receipt, SubmitError>) -> bool {
    match result {
        Err(error @ SubmitError::Busy) => error.retry_can_help(),
        _ => false,
    }
}

#[test]
fn the_engine_is_busy_while_its_operations_are_spent() {
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
fn the_engine_is_busy_while_its_bytes_are_spent() {
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

/// A batch without operations takes memory too.
#[test]
fn the_engine_is_busy_while_too_many_batches_of_metadata_alone_are_in_flight() {
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
fn submit_waits_while_the_engine_is_busy() {
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

const ROUNDS: u64 = 200;

fn check(engine: &Engine, caller: u64, receipts: &[Receipt]) {
    let mut last = (0, 0);
    for receipt in receipts {
        let place = (
            receipt.sequence(),
            receipt.durable_blocking().unwrap().version,
        );
        assert!(place.0 > last.0 && place.1 >= last.1);
        last = place;
    }
    let value = engine.get(&caller.to_le_bytes()).unwrap().unwrap();
    assert_eq!(*value, (ROUNDS - 1).to_le_bytes());
}

#[test]
fn submissions_of_callers_on_threads_keep_their_order() {
    without_hanging(|| {
        let engine = Rig::new().open();
        let callers: Vec<_> = (0..4_u64)
            .map(|caller| {
                let engine = engine.clone();
                std::thread::spawn(move || {
                    let receipts: Vec<Receipt> = (0..ROUNDS)
                        .map(|round| {
                            let batch = puts([(caller.to_le_bytes(), round.to_le_bytes())]);
                            let receipt = engine.submit_blocking(batch).unwrap();
                            let seen = engine.get(&caller.to_le_bytes()).unwrap().unwrap();
                            assert_eq!(*seen, round.to_le_bytes());
                            receipt
                        })
                        .collect();
                    check(&engine, caller, &receipts);
                })
            })
            .collect();
        for caller in callers {
            caller.join().unwrap();
        }
        let sequences = engine.snapshot().record().last_sequence;
        assert_eq!(sequences, 4 * ROUNDS);
    });
}

#[test]
fn submissions_of_tasks_keep_their_order_under_a_small_limit() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.submit.batch_operations_max = 2;
            config.submit.in_flight_operations_max = 3;
        });
        let engine = rig.open();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build();
        let runtime = runtime.unwrap();
        let callers: Vec<_> = (0..4_u64)
            .map(|caller| {
                let engine = engine.clone();
                runtime.spawn(async move {
                    let mut receipts = Vec::new();
                    for round in 0..ROUNDS {
                        let batch = puts([(caller.to_le_bytes(), round.to_le_bytes())]);
                        receipts.push(engine.submit(batch).await.unwrap());
                    }
                    receipts
                })
            })
            .collect();
        for (caller, task) in (0..).zip(callers) {
            check(&engine, caller, &runtime.block_on(task).unwrap());
        }
    });
}

#[test]
fn the_last_write_of_a_batch_wins() {
    without_hanging(|| {
        let engine = Rig::new().open();
        let mut batch = puts([("a", "1"), ("b", "1"), ("a", "2")]);
        batch.delete("b").delete("c").put("c", "3");
        crate::support::submit(&engine, batch);
        let found = engine.multi_get(&["a", "b", "c"]).unwrap();
        assert_eq!(found, [Some("2".into()), None, Some("3".into())]);
    });
}
