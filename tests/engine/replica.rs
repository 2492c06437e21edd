//! Replicas: they apply versions that a primary signed, refuse everything else, and can replace the primary.

use std::time::Duration;

use proptest::prelude::*;
use trunkline::config::{DurabilityMode, KzgMode};
use trunkline::core::frame::{Frame, SecretKey};
use trunkline::core::outcome::encode_outcomes;
use trunkline::core::store::log::LogEntry;
use trunkline::{
    ApplyError, Batch, Engine, EngineFailure, OpenError, Replica, Requirement, TopKind, WaitError,
};
use trunkline_testkit::patience::HANGS_AFTER;

use crate::support::{Rig, put, puts, submit, without_hanging};

fn key() -> SecretKey {
    SecretKey::generate([7; 32])
}

fn open_replica(rig: &Rig, primary: &Engine) -> Replica {
    let builder = rig.builder().params(&primary.params());
    builder.open_replica_blocking(vec![key().public()]).unwrap()
}

fn entries(primary: &Engine, from: u64) -> Vec<LogEntry> {
    primary.drain_blocking().unwrap();
    let count = primary.synced_version() + 1 - from;
    primary
        .feed(from)
        .take(count as usize)
        .map(Result::unwrap)
        .collect()
}

/// Applies the primary's new versions.
fn catch_up(replica: &Replica, primary: &Engine) {
    for entry in entries(primary, replica.last_taken().version + 1) {
        replica.apply_blocking(Frame::sign(entry, &key())).unwrap();
    }
    replica
        .wait_for_blocking(primary.synced_version(), HANGS_AFTER)
        .unwrap();
}

/// Returns a primary with some versions, and a replica that has them, too.
fn pair() -> (Rig, Engine, Rig, Replica) {
    let (here, there) = (Rig::new(), Rig::new());
    let primary = here.open();
    for version in 0..3 {
        put(&primary, "key", &version.to_string());
    }
    let replica = open_replica(&there, &primary);
    catch_up(&replica, &primary);
    (here, primary, there, replica)
}

/// Commits one more version at the primary, and returns its entry.
fn next_entry(primary: &Engine) -> LogEntry {
    let version = put(primary, "next", "value").version;
    entries(primary, version).remove(0)
}

fn apply(replica: &Replica, entry: LogEntry) -> Result<(), ApplyError> {
    replica.apply_blocking(Frame::sign(entry, &key()))
}

#[derive(Clone, Debug)]
struct Step {
    changes: Vec<(u8, Option<u8>)>,
    requires_absent: Option<u8>,
    metadata: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let changes = prop::collection::vec((0_u8..24, prop::option::of(any::<u8>())), 1..20);
    (changes, prop::option::of(0_u8..24), any::<bool>()).prop_map(
        |(changes, requires_absent, metadata)| Step {
            changes,
            requires_absent,
            metadata,
        },
    )
}

fn batch(step: &Step) -> Batch {
    let mut batch = Batch::new();
    for (key, value) in &step.changes {
        match value {
            Some(value) => batch.put([*key], [*value]),
            None => batch.delete([*key]),
        };
    }
    if let Some(key) = step.requires_absent {
        batch.require([key], Requirement::Absent);
    }
    if step.metadata {
        batch.metadata("block");
    }
    batch
}

fn assert_same(primary: &Engine, replica: &Replica) {
    let (here, there) = (primary.snapshot(), replica.snapshot());
    assert_eq!(here.record(), there.record());
    assert_eq!(here.root(), there.root());
    for key in 0..24_u8 {
        assert_eq!(here.get(&[key]).unwrap(), there.get(&[key]).unwrap());
    }
    let proof = |snapshot: &trunkline::Snapshot| snapshot.prove([[3_u8]], TopKind::Kzg).unwrap();
    assert_eq!(proof(&here), proof(&there));
    let ids = |snapshot: &trunkline::Snapshot| {
        snapshot
            .commit_ids()
            .map(Result::unwrap)
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&here), ids(&there));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_replica_has_the_states_roots_and_proofs_of_its_primary(
        steps in prop::collection::vec(step(), 1..30),
        mode in prop::sample::select(vec![KzgMode::Eager, KzgMode::Coalesce, KzgMode::OnDemand]),
        reopens in any::<bool>(),
    ) {
        let (mut here, there) = (Rig::new(), Rig::new());
        here.config.kzg.mode = mode;
        let mut primary = here.open();
        let mut replica = open_replica(&there, &primary);
        for (index, step) in steps.iter().enumerate() {
            let _ = primary.submit_blocking(batch(step)).unwrap();
            if index % 7 == 3 {
                catch_up(&replica, &primary);
                assert_same(&primary, &replica);
            }
            if reopens && index % 10 == 9 {
                primary.shutdown_blocking().unwrap();
                primary = here.open();
                replica.shutdown_blocking().unwrap();
                replica = open_replica(&there, &primary);
            }
        }
        catch_up(&replica, &primary);
        assert_same(&primary, &replica);
    }
}

#[test]
fn a_version_that_is_here_already_is_ignored() {
    without_hanging(|| {
        let (_here, primary, _there, replica) = pair();
        for entry in entries(&primary, 1) {
            apply(&replica, entry).unwrap();
        }
        assert_eq!(replica.position().version, 3);
    });
}

#[test]
fn frames_that_are_not_the_next_version_of_the_primary_are_refused_and_change_nothing() {
    without_hanging(|| {
        let (_here, primary, _there, replica) = pair();
        let before = replica.position();
        let entry = next_entry(&primary);
        let after = next_entry(&primary);

        let forged = Frame::sign(entry.clone(), &SecretKey::generate([8; 32]));
        assert!(matches!(
            replica.apply_blocking(forged),
            Err(ApplyError::Signature(_))
        ));
        let mut changed = Frame::sign(entry.clone(), &key());
        changed.entry.effects = after.effects.clone();
        changed.entry.kzg_root = None;
        assert!(matches!(
            replica.apply_blocking(changed),
            Err(ApplyError::Signature(_))
        ));

        let skipped = apply(&replica, after);
        assert!(matches!(
            skipped,
            Err(ApplyError::NotNext {
                version: 5,
                next: 4
            })
        ));

        let with = |change: &dyn Fn(&mut LogEntry)| {
            let mut other = entry.clone();
            change(&mut other);
            apply(&replica, other).unwrap_err()
        };
        let other_tree = with(&|entry| entry.record.tree_id = [9; 32]);
        assert!(matches!(other_tree, ApplyError::OtherTree));
        let other_parent = with(&|entry| entry.record.parent = [9; 32]);
        let ApplyError::Diverged {
            version: 3,
            primary: parent,
            here,
        } = other_parent
        else {
            panic!("{other_parent}");
        };
        assert_eq!((parent, here), ([9; 32], before.commit_id));
        let older_epoch = with(&|entry| entry.record.open_epoch = 0);
        assert!(matches!(
            older_epoch,
            ApplyError::Epoch {
                epoch: 0,
                last: 1,
                ..
            }
        ));
        let no_outcomes = with(&|entry| entry.outcomes = "".into());
        assert!(matches!(no_outcomes, ApplyError::Outcomes { version: 4 }));
        let none = with(&|entry| {
            let (outcomes, digest) = encode_outcomes(&[]);
            (entry.outcomes, entry.record.outcomes_digest) = (outcomes.into(), digest);
        });
        assert!(matches!(none, ApplyError::Submissions { version: 4 }));
        let other_chain = with(&|entry| entry.record.provisional_root = [9; 32]);
        assert!(matches!(
            other_chain,
            ApplyError::Submissions { version: 4 }
        ));
        let broken = with(&|entry| entry.effects = "\u{1}".into());
        assert!(matches!(broken, ApplyError::Effects { version: 4, .. }));
        let rewritten = with(&|entry| {
            entry.record.version = 3;
            entry.record.key_count += 1;
        });
        assert!(matches!(rewritten, ApplyError::Diverged { version: 3, .. }));

        assert_eq!(replica.position(), before);
        assert!(replica.failure().is_none());
        apply(&replica, entry).unwrap();
        replica.wait_for_blocking(4, HANGS_AFTER).unwrap();
    });
}

/// Applies an entry whose error only the tree shows, and returns the roots at the primary and here.
fn diverge(change: impl Fn(&mut LogEntry)) {
    let (_here, primary, there, replica) = pair();
    let before = replica.position();
    let right = next_entry(&primary);
    let mut wrong = right.clone();
    change(&mut wrong);
    apply(&replica, wrong.clone()).unwrap();
    let Err(WaitError::Engine(EngineFailure::Diverged(divergence))) =
        replica.wait_for_blocking(4, HANGS_AFTER)
    else {
        panic!("{:?}", replica.failure());
    };
    assert_eq!(divergence.primary.commit_id, wrong.record.commit_id());
    assert_eq!(divergence.replica.version, 4);
    assert_ne!(divergence.primary, divergence.replica);
    assert_eq!(replica.position(), before);
    assert!(replica.snapshot_at(4).is_err());
    assert!(
        replica
            .apply_blocking(Frame::sign(right.clone(), &key()))
            .is_err()
    );
    assert!(replica.shutdown_blocking().is_err());

    let replica = open_replica(&there, &primary);
    assert_eq!(replica.position(), before);
    apply(&replica, right).unwrap();
    replica.wait_for_blocking(4, HANGS_AFTER).unwrap();
}

#[test]
fn a_version_that_does_not_lead_to_its_record_stops_the_replica_and_is_never_shown() {
    without_hanging(|| {
        diverge(|entry| entry.record.state_digest = [9; 32]);
        diverge(|entry| entry.record.key_count += 1);
        diverge(|entry| entry.record.history_digest = [9; 32]);
        diverge(|entry| entry.effects = "\0".into());
    });
}

#[test]
fn a_wrong_kzg_root_stops_the_replica_and_is_never_shown() {
    without_hanging(|| diverge(|entry| entry.kzg_root = Some([9; 48])));
}

#[test]
fn a_wait_ends_at_the_version_at_its_time_or_with_the_replica() {
    without_hanging(|| {
        let (_here, primary, _there, replica) = pair();
        assert!(replica.wait_for_blocking(3, Duration::ZERO).is_ok());
        let late = replica.wait_for_blocking(4, Duration::from_millis(1));
        assert!(matches!(
            late,
            Err(WaitError::Timeout {
                version: 4,
                reached: 3
            })
        ));
        let waiting = std::thread::spawn({
            let replica = replica.clone();
            move || replica.wait_for_blocking(4, HANGS_AFTER)
        });
        let entry = next_entry(&primary);
        apply(&replica, entry).unwrap();
        waiting.join().unwrap().unwrap();
        let waiting = std::thread::spawn({
            let replica = replica.clone();
            move || replica.wait_for_blocking(5, HANGS_AFTER)
        });
        replica.shutdown_blocking().unwrap();
        let ended = waiting.join().unwrap();
        assert!(matches!(
            ended,
            Err(WaitError::Engine(EngineFailure::Closed))
        ));
    });
}

#[test]
fn the_lag_is_what_the_primary_has_and_the_replica_has_not() {
    without_hanging(|| {
        let (_here, primary, _there, replica) = pair();
        assert_eq!(replica.lag_versions(), 0);
        replica.observe_primary(10);
        assert_eq!(replica.lag_versions(), 7);
        let entry = next_entry(&primary);
        apply(&replica, entry).unwrap();
        replica.wait_for_blocking(4, HANGS_AFTER).unwrap();
        assert_eq!(replica.lag_versions(), 6);
        assert_eq!(replica.metrics().synced_version, 4);
    });
}

#[test]
fn a_promoted_replica_writes_in_a_higher_epoch_and_others_follow_it() {
    without_hanging(|| {
        let (_here, primary, there, replica) = pair();
        let second = Rig::new();
        let follower = open_replica(&second, &primary);
        catch_up(&follower, &primary);
        primary.shutdown_blocking().unwrap();

        let promoted = replica.clone().promote_blocking(7).unwrap();
        assert!(matches!(replica.failure(), Some(EngineFailure::Closed)));
        let durable = put(&promoted, "key", "from the new primary");
        let record = promoted.snapshot().record().clone();
        assert_eq!((durable.version, record.open_epoch), (4, 8));
        catch_up(&follower, &promoted);
        assert_eq!(follower.snapshot().record(), &record);
        promoted.shutdown_blocking().unwrap();

        // From now on it is a primary's directory.
        let builder = there.builder();
        let refused = builder
            .open_replica_blocking(vec![key().public()])
            .unwrap_err();
        assert!(matches!(refused, OpenError::NotReplica { .. }));
        let reopened = there.open();
        put(&reopened, "key", "again");
        assert_eq!(reopened.snapshot().record().open_epoch, 9);

        // The old primary's later versions belong to an epoch that has ended.
        let old = _here.open();
        put(&old, "key", "from the old primary");
        let stale = entries(&old, 4).remove(0);
        assert!(matches!(
            apply(&follower, stale),
            Err(ApplyError::Diverged { version: 4, .. })
        ));
    });
}

#[test]
fn the_directory_of_a_replica_is_not_written_to_by_mistake() {
    without_hanging(|| {
        let (here, primary, there, replica) = pair();
        replica.shutdown_blocking().unwrap();
        primary.shutdown_blocking().unwrap();
        let refused = there.builder().open_blocking().unwrap_err();
        assert!(matches!(refused, OpenError::IsReplica { .. }));
        let refused = here.builder().open_replica_blocking(vec![key().public()]);
        assert!(matches!(refused.unwrap_err(), OpenError::NotReplica { .. }));
        // Both are unchanged.
        assert_eq!(here.open().snapshot().version(), 3);
        let replica = there
            .builder()
            .open_replica_blocking(vec![key().public()])
            .unwrap();
        assert_eq!(replica.position().version, 3);
    });
}

#[test]
fn a_replica_serves_what_it_has_synced_whatever_its_durability_mode() {
    without_hanging(|| {
        let (here, mut there) = (Rig::new(), Rig::new());
        there.config.durability.mode = DurabilityMode::Os;
        let primary = here.open();
        let replica = open_replica(&there, &primary);
        let (_, durable) = submit(&primary, puts([("a", "1"), ("b", "2")]));
        apply(&replica, entries(&primary, 1).remove(0)).unwrap();
        // Nothing syncs it, so it must not be reported as synced.
        let waited = replica.wait_for_blocking(1, Duration::from_millis(20));
        assert!(matches!(waited, Err(WaitError::Timeout { .. })));
        assert_eq!(replica.synced().position.version, 0);
        replica.shutdown_blocking().unwrap();
        assert_eq!(replica.synced().position.commit_id, durable.commit_id);
        assert!(
            replica
                .wait_for_blocking(durable.version, HANGS_AFTER)
                .is_ok()
        );
    });
}

#[test]
fn a_replica_catches_up_across_checkpoints_and_restarts() {
    without_hanging(|| {
        let (here, mut there) = (Rig::new(), Rig::new());
        there.config.checkpoint.bytes_max = 4096;
        there.config.checkpoint.unflushed_bytes_max = 8192;
        there.config.log.segment_bytes_max = 4096;
        let primary = here.open();
        for round in 0..60 {
            submit(
                &primary,
                puts((0..20).map(|key| (format!("{}", key * 7 + round), "x".repeat(100)))),
            );
        }
        for _ in 0..6 {
            let replica = open_replica(&there, &primary);
            let from = replica.position().version + 1;
            for entry in entries(&primary, from).into_iter().take(10) {
                apply(&replica, entry).unwrap();
            }
            replica.wait_for_blocking(from + 9, HANGS_AFTER).unwrap();
            replica.shutdown_blocking().unwrap();
        }
        let replica = open_replica(&there, &primary);
        assert_eq!(replica.snapshot().root(), primary.snapshot().root());
    });
}

/// In mode `os` nothing syncs a version, and a carrier may deliver it more than once.
#[test]
fn a_version_that_comes_again_before_it_is_synced_is_ignored_or_named() {
    without_hanging(|| {
        let (here, mut there) = (Rig::new(), Rig::new());
        there.config.durability.mode = DurabilityMode::Os;
        let primary = here.open();
        let replica = open_replica(&there, &primary);
        for version in 1..=3 {
            let entry = next_entry(&primary);
            apply(&replica, entry.clone()).unwrap();
            apply(&replica, entry.clone()).unwrap();
            let mut other = entry;
            other.record.key_count += 1;
            let differs = apply(&replica, other).unwrap_err();
            let ApplyError::Diverged { version: named, .. } = differs else {
                panic!("{differs}");
            };
            assert_eq!(named, version);
        }
        assert_eq!(replica.last_taken().version, 3);
    });
}

#[test]
fn callers_that_apply_the_same_versions_at_once_all_succeed() {
    without_hanging(|| {
        let (_here, primary, _there, replica) = pair();
        for number in 0..200 {
            put(&primary, "key", &format!("{number}"));
        }
        let entries = entries(&primary, 4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for entry in &entries {
                        apply(&replica, entry.clone()).unwrap();
                    }
                });
            }
        });
        replica.wait_for_blocking(203, HANGS_AFTER).unwrap();
        assert_same(&primary, &replica);
    });
}

#[test]
fn a_wait_without_an_end_waits() {
    without_hanging(|| {
        let (_here, primary, _there, replica) = pair();
        let waiting = std::thread::spawn({
            let replica = replica.clone();
            move || replica.wait_for_blocking(4, Duration::MAX)
        });
        apply(&replica, next_entry(&primary)).unwrap();
        waiting.join().unwrap().unwrap();
    });
}

#[test]
fn an_epoch_that_leaves_none_above_it_is_refused_and_the_replica_stays_one() {
    without_hanging(|| {
        let (_here, primary, there, replica) = pair();
        for epoch in [u64::MAX, u64::MAX - 1] {
            let replica = match replica.failure() {
                None => replica.clone(),
                Some(_) => open_replica(&there, &primary),
            };
            let refused = replica.promote_blocking(epoch).unwrap_err();
            assert!(matches!(refused, OpenError::Epoch { above } if above == epoch));
        }
        let replica = open_replica(&there, &primary);
        catch_up(&replica, &primary);
        let promoted = replica.promote_blocking(u64::MAX / 2).unwrap();
        put(&promoted, "key", "value");
        assert_eq!(promoted.snapshot().record().open_epoch, u64::MAX / 2 + 1);
    });
}

#[test]
fn a_replica_has_the_evidence_of_its_primary_and_so_has_a_replica_of_it() {
    without_hanging(|| {
        let keeps = |config: &mut trunkline::Config| config.versions.retain_versions = 1000;
        let (here, there, third) = (Rig::with(keeps), Rig::with(keeps), Rig::with(keeps));
        let mut primary = here.open();
        let mut replica = open_replica(&there, &primary);
        let second = open_replica(&third, &primary);
        for round in 0..6 {
            let mut evidence = Vec::new();
            for number in 0..8_u8 {
                let refused = step_of(number, round);
                let receipt = primary.submit_blocking(batch(&refused)).unwrap();
                receipt.durable_blocking().unwrap();
                evidence.push((receipt.sequence(), receipt.evidence_blocking().unwrap()));
            }
            catch_up(&replica, &primary);
            for entry in entries(&primary, second.last_taken().version + 1) {
                apply(&second, entry).unwrap();
            }
            second
                .wait_for_blocking(replica.position().version, HANGS_AFTER)
                .unwrap();
            for (sequence, evidence) in evidence {
                for replica in [&replica, &second] {
                    let snapshot = replica.snapshot_at(evidence.record.version).unwrap();
                    assert_eq!(snapshot.evidence(sequence).unwrap(), evidence);
                }
            }
            assert_same(&primary, &replica);
            if round % 2 == 0 {
                primary.shutdown_blocking().unwrap();
                primary = here.open();
                replica.shutdown_blocking().unwrap();
                replica = open_replica(&there, &primary);
            }
        }
    });
}

fn step_of(number: u8, round: u8) -> Step {
    Step {
        changes: vec![(number, Some(round))],
        requires_absent: number.is_multiple_of(3).then_some(number),
        metadata: number.is_multiple_of(4),
    }
}
