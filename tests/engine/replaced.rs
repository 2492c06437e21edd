//! A directory that is replaced at any moment: acknowledged data is not lost, and the new directory does not change.

use std::path::Path;
use std::sync::Arc;

use trunkline::core::store::disk::read_file;
use trunkline::core::store::manifest::CHECKPOINT_FILE;
use trunkline::core::store::own_directory::ReplacedError;
use trunkline::{EngineFailure, SubmitError};

use crate::support::{GatedLeaves, Rig, put, without_hanging};

/// Returns an engine's environment with small segments, and with occasional checkpoints if requested.
fn rig(checkpoints: bool) -> Rig {
    Rig::with(|config| {
        config.log.segment_bytes_max = 4 << 10;
        if checkpoints {
            config.checkpoint.bytes_max = 4 << 10;
        }
    })
}

#[test]
fn what_was_acknowledged_before_a_replacement_is_in_the_copy() {
    without_hanging(|| {
        for round in 0..20 {
            let rig = rig(round % 2 == 0);
            let engine = rig.open();
            let directory = rig.config.engine.directory.clone();
            let acknowledged = std::thread::scope(|scope| {
                let writes = || {
                    let mut count = 0_u32;
                    loop {
                        let receipt = engine.put_blocking(format!("key {count}"), [7; 300]);
                        match receipt.map(|receipt| receipt.durable_blocking()) {
                            Ok(Ok(_)) => count += 1,
                            Ok(Err(failure)) | Err(SubmitError::Engine(failure)) => {
                                return (count, failure);
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                };
                let writer = scope.spawn(writes);
                while rig.disk.syncs.passed() < 20 + round {
                    std::thread::yield_now();
                }
                rig.disk.memory.replace_directory(&directory);
                writer.join().unwrap()
            });
            let (count, failure) = acknowledged;
            assert!(matches!(failure, EngineFailure::Replaced(_)), "{failure}");
            drop(engine);
            let engine = rig.open();
            for key in 0..count {
                let value = engine.get(format!("key {key}").as_bytes()).unwrap();
                assert!(
                    value.is_some(),
                    "round {round}: key {key} of {count} is lost"
                );
            }
        }
    });
}

#[test]
fn a_checkpoint_does_not_write_to_a_directory_that_was_replaced_meanwhile() {
    without_hanging(|| {
        let rig = rig(true);
        let engine = rig.open();
        let directory = rig.config.engine.directory.clone();
        rig.leaves.ingestions.close();
        put(&engine, "large", &"x".repeat(5000));
        rig.leaves.ingestions.wait_for_a_waiter();
        rig.disk.memory.replace_directory(&directory);
        let manifest = || {
            let path = directory.join(CHECKPOINT_FILE);
            read_file(&*rig.disk.memory, &path, 1 << 20).unwrap()
        };
        let copied = manifest();
        rig.leaves.ingestions.open();
        let Err(EngineFailure::Replaced(cause)) = engine.shutdown_blocking() else {
            panic!("the checkpoint went on");
        };
        assert!(matches!(cause, ReplacedError::Replaced { path, .. } if path == directory));
        assert_eq!(manifest(), copied);
    });
}

#[test]
fn a_directory_that_was_replaced_while_it_was_opened_is_not_served() {
    without_hanging(|| {
        let rig = rig(false);
        put(&rig.open(), "a", "1");
        rig.disk.appends.close();
        std::thread::scope(|scope| {
            // Opening begins a segment, and waits here.
            let opening = scope.spawn(|| rig.builder().open_blocking());
            rig.disk.appends.wait_for_a_waiter();
            let directory: &Path = &rig.config.engine.directory;
            rig.disk.memory.replace_directory(directory);
            rig.disk.appends.open();
            assert!(opening.join().unwrap().is_err());
        });
        let other = Rig {
            leaves: Arc::new(GatedLeaves::default()),
            ..rig
        };
        assert_eq!(other.open().get(b"a").unwrap(), Some("1".into()));
    });
}
