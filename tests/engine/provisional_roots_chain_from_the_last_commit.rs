use trunkline::Batch;
use trunkline::core::batch::{BatchLimits, provisional_root, provisional_start};
use trunkline::core::hash::Digest;
use trunkline::core::params::TreeParams;
use trunkline::core::record::CommitRecord;

use crate::support::{Rig, put, puts, submit, without_hanging};

fn digest(params: &TreeParams, batch: &Batch) -> Digest {
    let prepared = batch.clone().prepare(params, &BatchLimits::default(), None);
    prepared.unwrap().digest
}

/// A caller that knows the last commit and the epoch computes every provisional root itself.
#[test]
fn a_caller_can_compute_them_and_they_begin_anew_at_every_opening() {
    without_hanging(|| {
        let rig = Rig::new();
        let params = TreeParams::default();
        let mut commit_id = CommitRecord::genesis(params.tree_id()).commit_id();
        let mut epochs = Vec::new();
        for opening in 0..3 {
            let engine = rig.open();
            let epoch = engine.recovery().open_epoch;
            let mut expected = provisional_start(&commit_id, epoch);
            for round in 0..4 {
                let mut batch = puts([("key", format!("{opening} {round}"))]);
                if round == 2 {
                    batch.metadata("note");
                }
                expected = provisional_root(&expected, &digest(&params, &batch));
                let (receipt, durable) = submit(&engine, batch);
                assert_eq!(receipt.provisional_root(), expected);
                commit_id = durable.commit_id;
                assert_eq!(engine.snapshot().record().open_epoch, epoch);
            }
            epochs.push(epoch);
            engine.shutdown_blocking().unwrap();
        }
        assert!(
            epochs.is_sorted_by(|before, after| before < after),
            "{epochs:?}"
        );
    });
}

#[test]
fn sequence_numbers_go_on_where_they_ended() {
    without_hanging(|| {
        let rig = Rig::new();
        for opening in 0..3_u64 {
            let engine = rig.open();
            for round in 0..3 {
                let receipt = engine.put_blocking("key", format!("{round}")).unwrap();
                assert_eq!(receipt.sequence(), opening * 4 + round + 1);
            }
            let (receipt, _) = submit(&engine, puts([("key", "last")]));
            assert_eq!(receipt.sequence(), opening * 4 + 4);
            engine.shutdown_blocking().unwrap();
        }
        let engine = rig.open();
        put(&engine, "key", "value");
        assert_eq!(engine.snapshot().record().last_sequence, 13);
    });
}
