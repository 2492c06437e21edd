use trunkline::Config;
use trunkline_actors::config::{InvalidSetting, StoreKind};

#[test]
fn the_in_flight_limits_allow_at_least_one_batch() {
    let mut config = Config::default();
    config.submit.in_flight_operations_max = config.submit.batch_operations_max - 1;
    let invalid = config.validate().unwrap_err();
    assert!(matches!(invalid, InvalidSetting::BelowOther { .. }));
    assert_eq!(invalid.key(), "submit.in_flight_operations_max");

    let mut config = Config::default();
    config.submit.in_flight_bytes_max = config.submit.batch_bytes_max - 1;
    let invalid = config.validate().unwrap_err();
    assert_eq!(invalid.key(), "submit.in_flight_bytes_max");
}

#[test]
fn commits_wait_for_a_checkpoint_only_after_it_has_started() {
    let mut config = Config::default();
    config.checkpoint.unflushed_bytes_max = config.checkpoint.bytes_max - 1;
    let invalid = config.validate().unwrap_err();
    assert_eq!(invalid.key(), "checkpoint.unflushed_bytes_max");
}

#[test]
fn snapshots_stay_readable_at_least_as_long_as_retained_versions() {
    let mut config = Config::default();
    config.versions.retain_versions = config.versions.snapshot_versions_behind_max + 1;
    let invalid = config.validate().unwrap_err();
    assert_eq!(invalid.key(), "versions.snapshot_versions_behind_max");
}

#[test]
fn a_memory_budget_needs_a_store() {
    let mut config = Config::default();
    config.memory.budget_bytes = 1 << 30;
    config.validate().unwrap();
    config.store.kind = StoreKind::Log;
    let invalid = config.validate().unwrap_err();
    assert!(matches!(invalid, InvalidSetting::NeedsStore { .. }));
    assert_eq!(invalid.key(), "memory.budget_bytes");
    assert!(invalid.to_string().contains("set store.kind to fjall"));
}

#[test]
fn a_conflict_with_a_default_names_the_line_that_causes_it() {
    let text = "[submit]\nbatch_operations_max = 2_000_000\n";
    let layers = Config::layers().text("my.toml", text).unwrap();
    let message = layers.build().unwrap_err().to_string();
    let expected = "my.toml:2: submit.in_flight_operations_max = 1000000: \
                    must be at least submit.batch_operations_max = 2000000";
    assert_eq!(message, expected);
}

#[test]
fn a_name_that_is_no_valid_label_is_refused() {
    for name in ["", "a\nb", &"x".repeat(65)] {
        let mut config = Config::default();
        config.engine.name = name.to_owned();
        assert_eq!(config.validate().unwrap_err().key(), "engine.name");
    }
}
