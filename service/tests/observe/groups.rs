//! Spans of groups and stages, made from an engine's timeline.

use std::time::{Duration, Instant};

use trunkline::{Batch, Config, Engine, Stage};
use trunkline_service::observe::groups::GroupSpans;
use trunkline_service::observe::log::{Format, capture};

use crate::lines::Lines;

fn engine() -> (tempfile::TempDir, Engine) {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::open_blocking(Config::in_directory(directory.path())).unwrap();
    for round in 0..3_u32 {
        let mut batch = Batch::new();
        batch.put("key", "value").put(format!("{round}"), "v");
        engine
            .submit_blocking(batch)
            .unwrap()
            .durable_blocking()
            .unwrap();
    }
    // A stage records its span after it has passed the version on.
    let patience = Instant::now() + Duration::from_secs(30);
    while engine.spans_from(0).1 < 3 * Stage::ALL.len() as u64 {
        assert!(
            Instant::now() < patience,
            "the stages did not note their spans"
        );
        std::thread::yield_now();
    }
    (directory, engine)
}

#[test]
fn every_group_has_a_span_with_version_operations_bytes_and_durations() {
    let (_directory, engine) = engine();
    let lines = Lines::default();
    let guard = capture(Format::Json, "trunkline::group=debug", lines.clone()).unwrap();
    let mut groups = GroupSpans::default();
    groups.look(&engine);
    groups.look(&engine);
    groups.finish(&engine);
    drop(guard);
    let lines = lines.json();
    assert_eq!(lines.len(), 3, "each group once: {lines:?}");
    for (line, version) in lines.iter().zip(1..) {
        let span = &line["span"];
        assert_eq!(
            (&line["message"], &span["name"]),
            (&"group committed".into(), &"group".into())
        );
        assert_eq!(
            (&span["version"], &span["operations"]),
            (&version.into(), &2.into())
        );
        assert_eq!(span["bytes"], 10);
        let begun = span["begun_unix_us"].as_i64().unwrap();
        let ended = span["ended_unix_us"].as_i64().unwrap();
        assert_eq!(ended - begun, span["duration_us"].as_i64().unwrap());
        for stage in Stage::ALL {
            assert!(line[format!("{stage}_us")].is_u64(), "{stage} in {line}");
        }
    }
    engine.shutdown_blocking().unwrap();
}

#[test]
fn without_a_subscriber_that_wants_them_the_timeline_is_not_read() {
    let (_directory, engine) = engine();
    let lines = Lines::default();
    let guard = capture(Format::Json, "info", lines.clone()).unwrap();
    let mut groups = GroupSpans::default();
    groups.look(&engine);
    groups.finish(&engine);
    drop(guard);
    assert_eq!(lines.text(), "");
    engine.shutdown_blocking().unwrap();
}
