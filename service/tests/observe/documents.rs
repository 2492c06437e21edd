//! Documents that are generated from the table of metrics: `docs/OBSERVABILITY.md`, the dashboard, and the alert rules.
//!
//! `TRUNKLINE_WRITE_DOCUMENTS=1 cargo test -p trunkline-service --test observe documents` regenerates them.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use trunkline::metrics::{Kind, Metric, Unit};
use trunkline_service::observe::table;

use crate::alerts::{ALERTS, rules};
use crate::dashboard::{all_metrics, dashboard, names_with_a_panel};
use crate::promtool;

const ALERTS_FILE: &str = "docs/prometheus/alerts.yml";
const ALERTS_TEST_FILE: &str = "docs/prometheus/alerts-test.yml";
const DASHBOARD_FILE: &str = "docs/grafana/dashboard.json";
const PAGE: &str = "docs/OBSERVABILITY.md";
const OPERATIONS: &str = "docs/OPERATIONS.md";
const MAKE_AGAIN: &str =
    "TRUNKLINE_WRITE_DOCUMENTS=1 cargo test -p trunkline-service --test observe documents";

fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(file)
}

fn read(file: &str) -> String {
    fs::read_to_string(path(file)).unwrap_or_default()
}

/// Compares a document with its expected content, or writes it.
fn compare(file: &str, found: &str, expected: &str) {
    if std::env::var_os("TRUNKLINE_WRITE_DOCUMENTS").is_some() {
        return fs::write(path(file), expected).unwrap();
    }
    assert!(
        found == expected,
        "{file} is not up to date; make it again:\n{MAKE_AGAIN}"
    );
}

fn table_of(metrics: &[Metric], common_label: &str) -> String {
    let mut text =
        "| metric | kind | unit | labels | what it measures |\n| --- | --- | --- | --- | --- |\n"
            .to_owned();
    for metric in metrics {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let unit = match metric.unit {
            Unit::Count => "",
            Unit::Bytes => "bytes",
            Unit::Seconds => "seconds",
        };
        let labels = metric
            .labels
            .iter()
            .map(|(name, value)| match value.is_empty() {
                true => format!("`{name}`"),
                false => format!("`{name}=\"{value}\"`"),
            });
        let common = (!common_label.is_empty()).then(|| format!("`{common_label}`"));
        let labels: Vec<String> = common.into_iter().chain(labels).collect();
        // The units are those of the snapshot in Rust, which has microseconds.
        let help = metric.help.replace(", microseconds", "");
        writeln!(
            text,
            "| `{}` | {kind} | {unit} | {} | {help} |",
            metric.name,
            labels.join(", ")
        )
        .unwrap();
    }
    text
}

/// Replaces the text between two marks.
fn between(page: &str, mark: &str, content: &str) -> String {
    let (begin, end) = (
        format!("<!-- {mark} -->\n"),
        format!("<!-- end of {mark} -->"),
    );
    let (before, after) = page
        .split_once(&begin)
        .unwrap_or_else(|| panic!("{PAGE} has no mark {mark}"));
    let (_, after) = after.split_once(&end).unwrap();
    format!("{before}{begin}\n{content}\n{end}{after}")
}

#[test]
fn the_page_has_every_metric() {
    let page = read(PAGE);
    let with_service = between(&page, "service", &table_of(table::TABLE, ""));
    let of_engine = table_of(trunkline::metrics::TABLE, "engine");
    let with_engine = between(&with_service, "engine", &of_engine);
    let of_members = table_of(trunkline_replication::METRICS, "engine");
    let with_members = between(&with_engine, "members", &of_members);
    let of_archivers = table_of(trunkline_archive::METRICS, "engine");
    let expected = between(&with_members, "archivers", &of_archivers);
    compare(PAGE, &page, &expected);
}

#[test]
fn the_dashboard_is_up_to_date_and_has_every_metric() {
    let expected = dashboard();
    let names = names_with_a_panel(&expected);
    for metric in all_metrics() {
        assert!(names.contains(&metric.name), "{} has no panel", metric.name);
    }
    let found = read(DASHBOARD_FILE);
    // They are compared as values: the order of keys depends on features of serde_json.
    if serde_json::from_str::<Value>(&found).ok().as_ref() != Some(&expected) {
        compare(
            DASHBOARD_FILE,
            &found,
            &(serde_json::to_string_pretty(&expected).unwrap() + "\n"),
        );
    }
}

#[test]
fn the_alerts_are_up_to_date_and_work() {
    compare(ALERTS_FILE, &read(ALERTS_FILE), &rules());
    promtool::check(&["check", "rules", ALERTS_FILE], "");
    promtool::check(&["test", "rules", ALERTS_TEST_FILE], "");
}

#[test]
fn every_alert_has_its_section() {
    let operations = read(OPERATIONS);
    for alert in ALERTS {
        let has_section = operations.lines().any(|line| line == alert.heading());
        assert!(
            has_section,
            "{OPERATIONS} has no section \"{}\"",
            alert.heading()
        );
    }
}

#[test]
fn documents_name_no_metric_that_is_not_there() {
    for file in [ALERTS_FILE, ALERTS_TEST_FILE, DASHBOARD_FILE, PAGE] {
        let text = read(file);
        for place in text.match_indices("trunkline_").map(|(place, _)| place) {
            let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            let name = text[place..].split(|c| !is_name(c)).next().unwrap();
            // Crates have such names in paths, and whole families are written with an asterisk.
            let after = &text[place + name.len()..];
            if after.starts_with("::") || after.starts_with('*') {
                continue;
            }
            let of_metric = |metric: &Metric| {
                let suffix = name.strip_prefix(metric.name);
                suffix.is_some_and(|suffix| ["", "_bucket", "_sum", "_count"].contains(&suffix))
            };
            assert!(all_metrics().any(of_metric), "{file} names {name}");
        }
    }
}
