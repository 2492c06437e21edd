//! The metrics of a real engine, as Prometheus receives them.

use std::collections::BTreeSet;
use std::path::Path;

use trunkline::metrics::Metric;
use trunkline::{Batch, Config, Engine, TopKind};
use trunkline_service::observe::figures::Observed;
use trunkline_service::observe::metrics::{self, all_metrics};
use trunkline_service::observe::table::{self, Protocol, Rejection};

use crate::promtool;

fn open(directory: &Path, name: &str) -> Engine {
    let mut config = Config::in_directory(directory);
    config.engine.name = name.to_owned();
    Engine::open_blocking(config).unwrap()
}

/// Uses everything that an engine measures.
fn load(engine: &Engine) {
    for round in 0..50_u32 {
        let mut batch = Batch::new();
        for key in 0..20_u32 {
            batch.put(format!("{}", round * 20 + key), "value");
        }
        engine
            .submit_blocking(batch)
            .unwrap()
            .durable_blocking()
            .unwrap();
    }
    engine.set_cursor("archive", 40).unwrap();
    engine.get(b"7").unwrap();
    engine.snapshot().prove(["7"], TopKind::Kzg).unwrap();
}

#[test]
fn promtool_finds_nothing_to_complain_about_in_what_a_busy_engine_reports() {
    let handle = metrics::install().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path(), "busy");
    load(&engine);
    table::requests(Protocol::Grpc, "Submit", "Ok").increment(1);
    table::request_seconds(Protocol::Grpc, "Submit").record(0.012);
    table::rejected(Rejection::Overload).increment(1);
    engine.figures().report();
    let text = handle.render();

    // Only metrics of the table are reported, and each has its help.
    let mut seen = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap();
        seen.insert(name.to_owned());
        assert!(all_metrics().any(|metric| metric.name == name), "{name}");
        assert!(text.contains(&format!("# HELP {name} ")), "{name}");
    }
    for series in [
        "trunkline_submissions_total{engine=\"busy\"} 50",
        "trunkline_operations_total{engine=\"busy\"} 1000",
        "trunkline_submission_seconds_count{engine=\"busy\",state=\"durable\"} 50",
        "trunkline_submission_seconds_bucket{engine=\"busy\",state=\"durable\",le=\"60\"} 50",
        "trunkline_group_operations_bucket{engine=\"busy\",le=\"16\"} 0",
        "trunkline_group_operations_bucket{engine=\"busy\",le=\"64\"} 50",
        "trunkline_stage_service_seconds_count{engine=\"busy\",stage=\"kzg\"} 50",
        "trunkline_failed{engine=\"busy\"} 0",
        "trunkline_failure_reason{engine=\"busy\",reason=\"stage\"} 0",
        "trunkline_synced_version{engine=\"busy\"} 50",
        "trunkline_cursor_version{engine=\"busy\",cursor=\"archive\"} 40",
        "trunkline_durable_target_seconds{engine=\"busy\"} 0.25",
        "trunkline_log_held_bytes_max{engine=\"busy\"} 1073741824",
        "trunkline_service_rejected_total{reason=\"authentication\"} 0",
    ] {
        assert!(
            text.lines().any(|line| line == series),
            "{series} in\n{text}"
        );
    }
    // Events that did not occur in this engine have no series yet, but everything else does.
    let of_member = |metric: &Metric| trunkline_replication::METRICS.contains(metric);
    let missing = all_metrics().filter(|metric| !of_member(metric) && !seen.contains(metric.name));
    let missing: Vec<_> = missing.map(|metric| metric.field).collect();
    assert_eq!(missing, ["decisions", "certificate_expiry"]);

    if let Some(complaints) = promtool::check(&["check", "metrics"], &text) {
        assert_eq!(complaints, "");
    }
    engine.shutdown_blocking().unwrap();
}

#[test]
fn a_cursor_that_is_gone_has_no_number() {
    let handle = metrics::install().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path(), "followed");
    engine.set_cursor("index", 0).unwrap();
    engine.figures().report();
    let line = |value| {
        format!("trunkline_cursor_version{{engine=\"followed\",cursor=\"index\"}} {value}\n")
    };
    assert!(handle.render().contains(&line("0")));
    engine.remove_cursor("index").unwrap();
    engine.figures().report();
    assert!(handle.render().contains(&line("NaN")));
    engine.shutdown_blocking().unwrap();
}

#[test]
fn fields_and_series_are_there_once() {
    let (mut fields, mut series) = (BTreeSet::new(), BTreeSet::new());
    for metric in all_metrics() {
        assert!(fields.insert(metric.field), "{metric:?}");
        assert!(series.insert((metric.name, metric.labels)), "{metric:?}");
        assert!(metric.help.ends_with('.'), "{metric:?}");
    }
}
