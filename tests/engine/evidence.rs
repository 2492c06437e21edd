//! Evidence about submissions.

use trunkline::core::evidence::Evidence;
use trunkline::{Batch, Engine, EvidenceError, Outcome, Receipt, Requirement, Stage};

use crate::support::{Rig, put, puts, submit, until, without_hanging};

/// Returns a batch. Every fourth one has a requirement that is not met.
fn batch(number: u64) -> Batch {
    let mut batch = puts([(format!("key {number}"), "value")]);
    if number.is_multiple_of(4) {
        batch.require("nobody", Requirement::ValueHash([1; 32]));
    }
    batch
}

/// Checks that evidence agrees with its receipt.
fn check(receipt: &Receipt, evidence: &Evidence) {
    let durable = receipt.durable_blocking().unwrap();
    let bytes = evidence.encode().unwrap();
    let received = Evidence::decode(&bytes).unwrap();
    let verified = received.verify(&receipt.provisional_root(), &durable.commit_id);
    let verified = verified.unwrap();
    assert_eq!(verified.version, durable.version);
    assert_eq!(verified.sequence, receipt.sequence());
    assert_eq!(verified.outcome, durable.outcome);
}

#[test]
fn there_is_evidence_for_every_submission_of_groups_of_any_size() {
    without_hanging(|| {
        for linger_ms in [0, 60_000] {
            let rig = Rig::with(|config| {
                config.group.linger_ms = linger_ms;
                config.group.operations_max = 37;
                config.versions.retain_versions = 1000;
            });
            let engine = rig.open();
            let submitted = (1..=200).map(|number| engine.submit_blocking(batch(number)).unwrap());
            let receipts: Vec<Receipt> = submitted.collect();
            engine.drain_blocking().unwrap();
            for receipt in &receipts {
                let evidence = receipt.evidence_blocking().unwrap();
                check(receipt, &evidence);
                let refused = receipt.sequence().is_multiple_of(4);
                let is_refused = matches!(evidence.outcome.outcome, Outcome::Refused(_));
                assert_eq!(is_refused, refused);
                assert_eq!(engine.evidence(receipt.sequence()).unwrap(), evidence);
            }
        }
    });
}

#[test]
fn there_is_evidence_from_any_runtime_once_the_submission_is_durable() {
    without_hanging(|| {
        let engine = Rig::new().open();
        let receipt = engine.put_blocking("key", "value").unwrap();
        let evidence = pollster::block_on(receipt.evidence()).unwrap();
        check(&receipt, &evidence);
    });
}

#[test]
fn evidence_spans_versions_and_reopenings() {
    without_hanging(|| {
        let rig = Rig::new();
        for _ in 0..3 {
            let engine = rig.open();
            for number in 1..4 {
                let (receipt, _) = submit(&engine, batch(number));
                check(&receipt, &receipt.evidence_blocking().unwrap());
            }
            engine.shutdown_blocking().unwrap();
        }
    });
}

/// Outcomes of the last version are read from the log; earlier ones are not.
#[test]
fn there_is_evidence_of_the_last_version_after_a_restart() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        submit(&engine, batch(1));
        let (receipt, durable) = submit(&engine, batch(2));
        engine.shutdown_blocking().unwrap();
        drop(engine);
        let engine = rig.open();
        let evidence = engine.evidence(2).unwrap();
        check(&receipt, &evidence);
        let expired = engine.evidence(1).unwrap_err();
        assert!(matches!(
            expired,
            EvidenceError::Expired {
                sequence: 1,
                oldest: 2
            }
        ));
        let snapshot = engine.snapshot_at(durable.version).unwrap();
        assert_eq!(snapshot.evidence(2).unwrap(), evidence);
        assert!(matches!(snapshot.evidence(1), Err(EvidenceError::Prove(_))));
        // The first submission of an epoch begins a new chain.
        let (receipt, _) = submit(&engine, batch(3));
        check(&receipt, &receipt.evidence_blocking().unwrap());
    });
}

#[test]
fn there_is_no_evidence_after_a_restart_if_a_checkpoint_covers_the_last_version() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.checkpoint.bytes_max = 4096;
            config.checkpoint.unflushed_bytes_max = 4096;
        });
        let engine = rig.open();
        put(&engine, "key", &"v".repeat(5000));
        engine.shutdown_blocking().unwrap();
        let engine = rig.open();
        let error = engine.evidence(1).unwrap_err();
        assert!(matches!(error, EvidenceError::NotInLog { version: 1 }));
        assert!(error.to_string().ends_with("before the tree is closed"));
    });
}

#[test]
fn there_is_evidence_until_its_version_is_no_longer_kept() {
    without_hanging(|| {
        let rig = Rig::with(|config| config.versions.retain_versions = 2);
        let engine = rig.open();
        let (first, _) = submit(&engine, batch(1));
        let held = engine.snapshot();
        for number in 2..8 {
            submit(&engine, batch(number));
        }
        check(&first, &first.evidence_blocking().unwrap());
        drop(held);
        submit(&engine, batch(8));
        let error = first.evidence_blocking().unwrap_err();
        assert!(matches!(
            error,
            EvidenceError::Expired {
                sequence: 1,
                oldest: 7
            }
        ));
        assert!(error.to_string().contains("versions.retain_versions"));
    });
}

#[test]
fn evidence_counts_towards_the_bytes_of_old_versions() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.versions.retain_versions = 100;
            config.versions.retained_bytes_max = 3000;
        });
        let engine = rig.open();
        let mut nothing = Batch::new();
        nothing.require("key", Requirement::ValueHash([1; 32]));
        for _ in 0..60 {
            submit(&engine, nothing.clone());
        }
        // No value changed, but 74 bytes of outcome are kept for each submission.
        assert!(matches!(
            engine.evidence(1),
            Err(EvidenceError::Expired { .. })
        ));
        assert!(engine.evidence(60).is_ok());
    });
}

#[test]
fn there_is_no_evidence_before_the_submission_is_durable_nor_after_a_failure() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig
            .builder()
            .fail_stage(Stage::Hash, 1, trunkline::testing::StageFault::Error)
            .open_blocking()
            .unwrap();
        put(&engine, "key", "1");
        let receipt = engine.put_blocking("key", "2").unwrap();
        let error = receipt.evidence_blocking().unwrap_err();
        assert!(matches!(error, EvidenceError::Engine(_)));
        let error = engine.evidence(2).unwrap_err();
        assert!(matches!(
            error,
            EvidenceError::NotYet {
                sequence: 2,
                last: 1
            }
        ));
    });
}

#[test]
fn there_is_evidence_while_a_handle_to_the_engine_exists() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        let (receipt, _) = submit(&engine, batch(1));
        engine.shutdown_blocking().unwrap();
        check(&receipt, &receipt.evidence_blocking().unwrap());
        drop::<Engine>(engine);
        // The thread of the shutdown may hold the engine for a moment.
        until(|| matches!(receipt.evidence_blocking(), Err(EvidenceError::Gone)));
    });
}
