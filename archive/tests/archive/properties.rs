//! Random batches, and backups at random moments: every archived version is restored as it was.

use proptest::prelude::*;
use trunkline::Batch;
use trunkline::core::record::Root;
use trunkline_archive::{BasePolicy, Source};

use crate::support::{Rig, memory_archive, root_in, write_batch};

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<(u8, Option<u8>)>),
    BackUp(BasePolicy),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let changes = prop::collection::vec((0_u8..40, prop::option::of(any::<u8>())), 1..30);
    prop_oneof![
        5 => changes.prop_map(Step::Write),
        2 => Just(Step::BackUp(BasePolicy::IfNeeded)),
        1 => Just(Step::BackUp(BasePolicy::Always)),
        1 => Just(Step::Reopen),
    ]
}

fn batch(changes: &[(u8, Option<u8>)]) -> Batch {
    let mut batch = Batch::new();
    for (key, value) in changes {
        match value {
            Some(value) => batch.put([*key], vec![*value; usize::from(*value)]),
            None => batch.delete([*key]),
        };
    }
    batch
}

async fn check(steps: Vec<Step>) {
    let rig = Rig::new();
    let archive = memory_archive();
    let mut engine = rig.engine();
    let mut roots: Vec<Root> = vec![engine.snapshot().root()];
    let mut archived: Option<(u64, u64)> = None;
    for step in steps {
        match step {
            Step::Write(changes) => roots.push(write_batch(&engine, batch(&changes))),
            Step::Reopen => {
                engine.shutdown_blocking().unwrap();
                drop(engine);
                engine = rig.engine();
            }
            Step::BackUp(policy) => {
                let source = Source::Engine(engine.clone());
                let backup = archive.back_up(&source, policy, None).await.unwrap();
                let first = archived.map_or(backup.last.version, |(first, _)| first);
                archived = Some((first, backup.last.version));
            }
        }
    }
    engine.shutdown_blocking().unwrap();
    drop(engine);
    let Some((first, last)) = archived else {
        return;
    };
    for version in first..=last {
        let (restored, root) = rig.restored(&archive, Some(version)).await;
        assert_eq!(root, roots[version as usize]);
        assert_eq!(restored.position.commit_id, root.commit_id);
    }
    let config = rig.config("restored");
    let restored = archive
        .restore(None, &config, &Default::default())
        .await
        .unwrap();
    assert_eq!(restored.position.version, last);
    assert_eq!(root_in(&rig.path("restored")), roots[last as usize]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn every_archived_version_is_restored_as_it_was(steps in prop::collection::vec(step(), 1..24)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(steps));
    }
}
