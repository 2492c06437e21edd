//! Settings that are reloaded while the engine runs.

use std::path::Path;
use std::time::{Duration, Instant};

use trunkline::config::ControlMode;
use trunkline::decisions::{Change, Decision};
use trunkline::{Config, Engine, ReloadError, SubmitError};

use crate::support::{Rig, puts, submit, until, without_hanging};

fn many(operations: u32) -> trunkline::Batch {
    puts((0..operations).map(|key| (key.to_le_bytes(), "v")))
}

fn changed_keys(decisions: &[Decision]) -> Vec<String> {
    let keys = decisions
        .iter()
        .filter_map(|decision| match &decision.change {
            Change::Setting { key, .. } => Some(key.clone()),
            _ => None,
        });
    keys.collect()
}

#[test]
fn reloaded_settings_take_effect() {
    without_hanging(|| {
        let rig = Rig::with(|config| {
            config.control.mode = ControlMode::Fixed;
            config.group.linger_ms = 60_000;
        });
        let engine = rig.open();
        let mut config = rig.config.clone();
        config.group.operations_max = 10;
        config.submit.batch_operations_max = 50;
        engine.reload(config.clone()).unwrap();
        assert_eq!(*engine.config(), config);
        assert_eq!(
            changed_keys(&engine.decisions_since(0)),
            ["group.operations_max", "submit.batch_operations_max"]
        );
        assert_eq!(engine.metrics().reloads, 1);

        // The group is sealed at the new cap, without lingering.
        submit(&engine, many(10));
        let error = engine.submit_blocking(many(51)).unwrap_err();
        assert!(matches!(error, SubmitError::Batch(_)));
    });
}

#[test]
fn a_group_that_lingers_already_lingers_less_after_a_reload() {
    without_hanging(|| {
        let rig = Rig::with(|config| config.group.linger_ms = 60_000);
        let engine = rig.open();
        let receipt = engine.submit_blocking(many(1)).unwrap();
        let lingers = Instant::now();
        let mut config = rig.config.clone();
        config.group.linger_ms = 1;
        engine.reload(config).unwrap();
        receipt.durable_blocking().unwrap();
        assert!(lingers.elapsed() < Duration::from_secs(50));
    });
}

#[test]
fn fewer_versions_are_kept_after_a_reload() {
    let rig = Rig::new();
    let engine = rig.open();
    for _ in 0..8 {
        submit(&engine, many(1));
    }
    assert!(engine.snapshot_at(2).is_ok());
    let mut config = rig.config.clone();
    config.versions.retain_versions = 2;
    engine.reload(config).unwrap();
    submit(&engine, many(1));
    assert!(engine.snapshot_at(7).is_err());
    assert!(engine.snapshot_at(8).is_ok());
}

#[test]
fn a_smaller_limit_applies_to_later_batches() {
    without_hanging(|| {
        let rig = Rig::new();
        let engine = rig.open();
        rig.disk.syncs.close();
        engine.try_submit(many(100)).unwrap();
        let mut config = rig.config.clone();
        config.submit.batch_operations_max = 10;
        config.submit.in_flight_operations_max = 10;
        engine.reload(config).unwrap();
        engine.try_submit(many(9)).unwrap();
        let error = engine.try_submit(many(2)).unwrap_err();
        assert!(matches!(error, SubmitError::Busy));
        rig.disk.syncs.open();
        engine.drain_blocking().unwrap();
        engine.try_submit(many(10)).unwrap();
    });
}

#[test]
fn static_keys_are_refused_by_name_and_nothing_changes() {
    let rig = Rig::new();
    let engine = rig.open();
    let mut config = rig.config.clone();
    config.group.linger_ms = 7;
    config.log.segment_bytes_max *= 2;
    config.tree.salt = Some([1; 32]);
    let error = engine.reload(config).unwrap_err();
    let ReloadError::Static { keys } = &error else {
        panic!("{error}");
    };
    assert_eq!(*keys, ["log.segment_bytes_max", "tree.salt"]);
    assert_eq!(*engine.config(), rig.config);
    let decisions = engine.decisions_since(0);
    let Change::ReloadRefused { message } = &decisions[0].change else {
        panic!("{decisions:?}");
    };
    assert_eq!(*message, error.to_string());
    let metrics = engine.metrics();
    assert_eq!(
        (metrics.reloads, metrics.reloads_refused, metrics.decisions),
        (0, 1, 1)
    );
}

#[test]
fn values_that_are_not_allowed_are_refused() {
    let rig = Rig::new();
    let engine = rig.open();
    let mut config = rig.config.clone();
    config.group.in_flight_max = 0;
    let error = engine.reload(config).unwrap_err();
    assert!(matches!(error, ReloadError::Invalid(_)), "{error}");
    assert_eq!(*engine.config(), rig.config);
}

#[test]
fn an_engine_that_was_shut_down_takes_no_reload() {
    let rig = Rig::new();
    let engine = rig.open();
    engine.shutdown_blocking().unwrap();
    let error = engine.reload(rig.config.clone()).unwrap_err();
    assert!(matches!(error, ReloadError::Engine(_)), "{error}");
}

/// Replaces a file atomically.
fn replace(path: &Path, text: &str) {
    let temporary = path.with_extension("new");
    std::fs::write(&temporary, text).unwrap();
    std::fs::rename(&temporary, path).unwrap();
}

#[test]
fn a_watched_file_is_reloaded_and_a_bad_one_keeps_the_old_values() {
    without_hanging(|| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("trunkline.toml");
        replace(&path, "[group]\nlinger_ms = 1\n");
        let build = |path: &Path| Config::layers().file(path)?.build();
        let rig = Rig {
            config: build(&path).unwrap(),
            ..Rig::new()
        };
        let engine = rig.builder().watch(&path, build).open_blocking().unwrap();

        replace(&path, "[group]\nlinger_ms = 22\n");
        until(|| engine.config().group.linger_ms == 22);

        replace(&path, "[group]\nlinger_ms = 333\nin_flight_max = 0\n");
        until(|| engine.metrics().reloads_refused == 1);
        assert_eq!(engine.config().group.linger_ms, 22);
        assert!(last_refusal(&engine).contains("trunkline.toml:3: group.in_flight_max = 0"));

        replace(
            &path,
            "[group]\nlinger_ms = 22\n[store]\nworker_threads = 2\n",
        );
        until(|| engine.metrics().reloads_refused == 2);
        assert!(last_refusal(&engine).starts_with("store.worker_threads cannot change"));

        replace(&path, "[group]\nlinger_ms = 4444\n");
        until(|| engine.config().group.linger_ms == 4444);
    });
}

fn last_refusal(engine: &Engine) -> String {
    let decisions = engine.decisions_since(0);
    match decisions.last().map(|decision| &decision.change) {
        Some(Change::ReloadRefused { message }) => message.clone(),
        other => panic!("{other:?}"),
    }
}
