//! A replica's directory is built from a copy of one version, atomically.

use std::path::Path;

use trunkline::core::hash::Digest;
use trunkline::core::store::idempotency_file::KeyedSubmission;
use trunkline::{
    Base, Batch, Bootstrap, BootstrapError, Config, Engine, IdempotencyKey, OpenError, ReplayError,
};

struct Copy {
    base: Base,
    keyed: Vec<KeyedSubmission>,
    commit_ids: Vec<Digest>,
    leaves: Vec<(bytes::Bytes, bytes::Bytes)>,
}

fn with_key(key: &str) -> Batch {
    let mut batch = Batch::new();
    batch.put(format!("of {key}"), "x");
    batch.idempotency_key(IdempotencyKey::new(key.as_bytes()).unwrap());
    batch
}

/// Returns the copy of a version whose tree has gone through several epochs.
fn copy(directory: &Path) -> Copy {
    let config = Config::in_directory(directory);
    for epoch in 0..3 {
        let engine = Engine::open_blocking(config.clone()).unwrap();
        for key in 0..20 {
            let receipt = engine.put_blocking(format!("{epoch}-{key}"), format!("{key}"));
            receipt.unwrap().durable_blocking().unwrap();
        }
        engine.shutdown_blocking().unwrap();
    }
    let engine = Engine::open_blocking(config).unwrap();
    for key in ["first", "second"] {
        let receipt = engine.submit_blocking(with_key(key)).unwrap();
        receipt.durable_blocking().unwrap();
    }
    let (snapshot, keyed) = engine.snapshot_with_keys();
    let copy = Copy {
        base: Base {
            params: engine.params(),
            record: snapshot.record().clone(),
            kzg_root: Some(snapshot.kzg_root()),
        },
        keyed,
        commit_ids: snapshot.commit_ids().map(Result::unwrap).collect(),
        leaves: snapshot.iter().map(Result::unwrap).collect(),
    };
    drop(snapshot);
    engine.shutdown_blocking().unwrap();
    copy
}

fn build(copy: &Copy, target: &Path) -> Result<(), BootstrapError> {
    let config = Config::in_directory(target);
    let mut bootstrap = Bootstrap::begin(&config, copy.base.clone())?;
    for commit_ids in copy.commit_ids.chunks(7) {
        bootstrap.add_commit_ids(commit_ids)?;
    }
    for leaves in copy.leaves.chunks(11) {
        bootstrap.add_leaves(leaves)?;
    }
    for keyed in copy.keyed.chunks(1) {
        bootstrap.add_idempotency_keys(keyed)?;
    }
    bootstrap.finish()
}

#[test]
fn a_directory_that_was_built_is_that_of_a_replica_with_the_whole_history() {
    let directory = tempfile::tempdir().unwrap();
    let copy = copy(&directory.path().join("primary"));
    let target = directory.path().join("below/replica");
    build(&copy, &target).unwrap();
    assert!(!directory.path().join("below/replica.unfinished").exists());
    let report = trunkline::check(&target).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!(report.verified.unwrap().version, copy.base.record.version);

    let config = Config::in_directory(&target);
    let refused = Engine::open_blocking(config.clone()).unwrap_err();
    assert!(matches!(refused, OpenError::IsReplica { .. }));
    let replica = Engine::builder(config)
        .open_replica_blocking(vec![])
        .unwrap();
    let snapshot = replica.snapshot();
    assert_eq!(snapshot.record(), &copy.base.record);
    let ids: Vec<_> = snapshot.commit_ids().map(Result::unwrap).collect();
    assert_eq!(ids, copy.commit_ids);
    let proof = snapshot.prove_ancestor(3).unwrap();
    assert_eq!(
        proof.verify(&snapshot.commit_id()).unwrap().commit_id,
        ids[3]
    );
    drop(snapshot);

    let promoted = replica.promote_blocking(0).unwrap();
    for key in ["first", "second"] {
        let receipt = promoted.submit_blocking(with_key(key)).unwrap();
        let durable = receipt.durable_blocking().unwrap();
        assert!(receipt.is_repeat());
        assert_eq!(durable.commit_id, ids[durable.version as usize]);
    }
    promoted
        .put_blocking("more", "x")
        .unwrap()
        .durable_blocking()
        .unwrap();
    let record = promoted.snapshot().record().clone();
    assert_eq!(record.parent, copy.base.record.commit_id());
    assert!(record.open_epoch > copy.base.record.open_epoch);
    promoted.shutdown_blocking().unwrap();
}

#[test]
fn a_damaged_copy_is_refused_and_leaves_no_directory() {
    let directory = tempfile::tempdir().unwrap();
    let right = copy(&directory.path().join("primary"));
    let target = directory.path().join("replica");
    let refused = |change: &dyn Fn(&mut Copy)| {
        let mut damaged = Copy {
            base: right.base.clone(),
            commit_ids: right.commit_ids.clone(),
            leaves: right.leaves.clone(),
            keyed: right.keyed.clone(),
        };
        change(&mut damaged);
        let error = build(&damaged, &target).unwrap_err();
        assert!(!target.exists());
        error
    };
    let history = |error| matches!(error, BootstrapError::History { version: 62 });
    assert!(history(refused(&|copy| copy.commit_ids[5][0] ^= 1)));
    assert!(history(refused(&|copy| copy.commit_ids[62][0] ^= 1)));
    assert!(history(refused(&|copy| copy.commit_ids.push([0; 32]))));
    assert!(history(refused(&|copy| copy.commit_ids.truncate(62))));
    let swapped = refused(&|copy| copy.leaves.swap(3, 4));
    assert!(matches!(swapped, BootstrapError::Order { index: 4 }));
    let keys = |error| matches!(error, BootstrapError::IdempotencyKeys { version: 62 });
    assert!(keys(refused(&|copy| copy.keyed.swap(0, 1))));
    assert!(keys(refused(&|copy| copy.keyed[1].version = 63)));
    let differs = |error| {
        let BootstrapError::Open(OpenError::Replay(ReplayError::Differs { version: 62, .. })) =
            error
        else {
            panic!("{error}");
        };
    };
    differs(refused(&|copy| drop(copy.leaves.remove(7))));
    differs(refused(&|copy| copy.leaves[7].1 = "other".into()));
    differs(refused(&|copy| copy.base.kzg_root = Some([9; 48])));
    assert!(matches!(
        refused(&|copy| copy.base.params.nonce = [9; 16]),
        BootstrapError::OtherTree
    ));
    // The remains of the failed attempts do not matter.
    build(&right, &target).unwrap();
}

#[test]
fn a_directory_with_files_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let copy = copy(&directory.path().join("primary"));
    let target = directory.path().join("replica");
    std::fs::create_dir(&target).unwrap();
    build(&copy, &target).unwrap();
    let again = build(&copy, &target).unwrap_err();
    assert!(matches!(again, BootstrapError::NotEmpty { .. }));
}
