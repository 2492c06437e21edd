//! Log lines.

use tracing::{debug, info, info_span, warn};
use trunkline_service::observe::log::{Format, InitError, capture};

use crate::lines::Lines;

/// Logs a line within a span, and lines that must not appear.
fn log(format: Format, filter: &str) -> Lines {
    let lines = Lines::default();
    let _guard = capture(format, filter, lines.clone()).unwrap();
    let span = info_span!(target: "trunkline::request", "request", request_id = "a-1");
    let _entered = span.entered();
    warn!(target: "trunkline_service::listen", connections = 7, "the limit of connections is reached");
    debug!(target: "trunkline_service::listen", "details");
    debug!(target: "h2::codec", "authorization: Bearer secret");
    info!(target: "hyper", "a foreign line");
    lines
}

#[test]
fn a_line_of_text_has_time_level_message_and_fields() {
    let lines = log(Format::Text, "info").text();
    let line = lines.lines().next().unwrap();
    let time = line.split_whitespace().next().unwrap();
    assert!(
        time.starts_with("20") && time.contains('T') && time.ends_with('Z'),
        "{line}"
    );
    for part in [
        " WARN ",
        "request{request_id=\"a-1\"}",
        "the limit of connections is reached",
        "connections=7",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert_eq!(lines.lines().count(), 2, "{lines}");
    assert!(!lines.contains('\u{1b}'));
}

#[test]
fn a_line_of_json_is_an_object() {
    let lines = log(Format::Json, "info").json();
    let line = &lines[0];
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["message"], "the limit of connections is reached");
    assert_eq!(line["connections"], 7);
    assert_eq!(line["target"], "trunkline_service::listen");
    assert_eq!(line["span"]["request_id"], "a-1");
}

#[test]
fn other_crates_never_log_details() {
    for filter in ["trace", "h2=trace,h2::codec=trace,trunkline_service=trace"] {
        let lines = log(Format::Text, filter).text();
        assert!(lines.contains("details"), "{filter}: {lines}");
        assert!(!lines.contains("secret"), "{filter}: {lines}");
    }
}

#[test]
fn a_filter_that_cannot_be_read_is_refused() {
    let refused = capture(Format::Text, "info,=,=", Lines::default());
    assert!(matches!(refused, Err(InitError::Filter(_))));
    assert_eq!("json".parse::<Format>().unwrap(), Format::Json);
    let unknown = "xml".parse::<Format>().unwrap_err();
    assert!(unknown.to_string().contains("\"text\" or \"json\""));
}
