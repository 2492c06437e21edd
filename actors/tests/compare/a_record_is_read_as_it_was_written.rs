use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use trunkline::load::compare::{HISTOGRAMS_FILE, RUN_FILE, RecordError, Recorded};
use trunkline::load::{OperationKind, RUN_FORMAT, Run, Second};

fn run(seconds: u64, elapsed_us: u64) -> Run {
    let mut run = Run {
        format: RUN_FORMAT,
        ..Run::default()
    };
    run.totals.elapsed_us = elapsed_us;
    run.seconds = (0..seconds)
        .map(|second| Second {
            second,
            achieved: 100 + second,
            ..Second::default()
        })
        .collect();
    run
}

/// An interval log with one value a second: 1000 and the second's number.
fn log(seconds: u64, tags: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let began = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let mut builder = IntervalLogWriterBuilder::new();
    builder.with_base_time(began);
    let mut writer = builder
        .begin_log_with(&mut bytes, &mut serializer)
        .expect("a log in memory");
    for second in 0..seconds {
        for tag in tags {
            let mut histogram = Histogram::<u64>::new(3).expect("three digits");
            histogram.record(1_000 + second).expect("a small value");
            let (start, length) = (Duration::from_secs(second), Duration::from_secs(1));
            let tag = Tag::new(tag).expect("a tag without commas");
            writer
                .write_histogram(&histogram, start, length, Some(tag))
                .expect("a log in memory");
        }
    }
    bytes
}

fn written(document: &[u8], log: &[u8]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join(RUN_FILE), document).expect("a file");
    std::fs::write(directory.path().join(HISTOGRAMS_FILE), log).expect("a file");
    directory
}

#[test]
fn histograms_go_to_their_kind_and_second() {
    let document = serde_json::to_vec(&run(3, 3_000_000)).expect("JSON");
    let tags = ["read.latency", "read.service", "multi_get.latency", "other"];
    let directory = written(&document, &log(3, &tags));
    let recorded = Recorded::read_from(directory.path()).expect("a run");
    let reads = &recorded.latency[&OperationKind::Read];
    assert_eq!(reads.len(), 3);
    assert_eq!(reads[2].bins(), [(1_002, 1)]);
    assert_eq!(recorded.latency.len(), 2);
    assert_eq!(recorded.service.len(), 1);
}

#[test]
fn a_second_that_was_cut_off_is_not_compared() {
    let document = serde_json::to_vec(&run(3, 2_400_000)).expect("JSON");
    let directory = written(&document, &log(3, &["read.latency"]));
    let observed = Recorded::read_from(directory.path())
        .expect("a run")
        .observed();
    assert_eq!(observed.achieved, [100.0, 101.0]);
    assert_eq!(observed.latency[&OperationKind::Read].len(), 2);
}

#[test]
fn what_is_no_run_is_refused_by_name() {
    let missing = Recorded::read_from("no such directory".as_ref());
    assert!(matches!(missing, Err(RecordError::Read { .. })));
    let directory = written(b"{}", b"");
    let empty = Recorded::read_from(directory.path());
    assert!(matches!(empty, Err(RecordError::Document { .. })));
    let other = Run {
        format: 7,
        ..Run::default()
    };
    let directory = written(&serde_json::to_vec(&other).expect("JSON"), b"");
    let other = Recorded::read_from(directory.path());
    assert!(matches!(other, Err(RecordError::Format { format: 7, .. })));
}

#[test]
fn a_damaged_log_is_refused_by_entry() {
    let document = serde_json::to_vec(&run(3, 3_000_000)).expect("JSON");
    let directory = written(&document, b"Tag=read.latency,0.000,1.000,1.000,%%%\n");
    let entry = Recorded::read_from(directory.path());
    assert!(
        matches!(entry, Err(RecordError::Entry { entry: 1, .. })),
        "{entry:?}"
    );
    let directory = written(&document, b"Tag=read.latency,0.000,1.000,1.000,AAAA\n");
    let histogram = Recorded::read_from(directory.path());
    assert!(
        matches!(histogram, Err(RecordError::Histogram { entry: 1, .. })),
        "{histogram:?}"
    );
}
