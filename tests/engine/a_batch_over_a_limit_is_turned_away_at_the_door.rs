use trunkline::core::params::{KEY_BYTES_MAX, METADATA_BYTES_MAX, VALUE_BYTES_MAX};
use trunkline::{Batch, BatchError, ReadError, Requirement, SubmitError};

use crate::support::{Rig, put, puts, without_hanging};

#[test]
fn and_changes_nothing() {
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
        // The longest key is taken, and so the next submission is the first.
        let longest = engine.put_blocking(key(KEY_BYTES_MAX), "1").unwrap();
        assert_eq!(longest.sequence(), 1);
    });
}

#[test]
fn if_it_has_too_many_bytes() {
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
fn and_reads_of_such_keys_too() {
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
