use proptest::prelude::*;
use trunkline_load::{
    LineProblem, Operation, OperationKind, TraceError, TraceReader, TraceSummary, TraceWriter,
};

const HEAD: &str = "trunkline-trace 1\nkeys 10\nvalue_bytes 4\n";

fn all_kinds() -> Vec<Operation> {
    vec![
        Operation::new(OperationKind::Read, 0),
        Operation::multi_get(3, 7),
        Operation::new(OperationKind::Verify, 9),
        Operation::new(OperationKind::Update, 5),
        Operation::new(OperationKind::Insert, 10),
        Operation::new(OperationKind::Delete, 10),
        Operation::new(OperationKind::ReadModifyWrite, 1),
    ]
}

#[test]
fn every_operation_comes_back_with_its_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("operations.trace");
    let mut writer = TraceWriter::create(&path, 10, 4).unwrap();
    for (number, operation) in all_kinds().into_iter().enumerate() {
        writer.write(number as u64 * 250, operation).unwrap();
    }
    writer.finish().unwrap();
    let mut reader = TraceReader::open(&path).unwrap();
    let expected = TraceSummary {
        keys: 10,
        value_bytes: 4,
        operations: 7,
        deletes: 1,
        digest: reader.summary().digest,
        ended_ns: 1500,
    };
    assert_eq!(reader.summary(), expected);
    for (number, operation) in all_kinds().into_iter().enumerate() {
        let timed = reader.next_operation().unwrap().unwrap();
        assert_eq!(
            (timed.at_ns, timed.operation),
            (number as u64 * 250, operation)
        );
    }
    assert!(reader.next_operation().unwrap().is_none());
}

#[test]
fn traces_are_told_apart_by_what_is_in_them() {
    let digest = |text: &str| {
        let summary = TraceSummary::of("typed", text.as_bytes());
        summary.unwrap().digest
    };
    let trace = digest(&format!("{HEAD}5 read 1\n"));
    assert_eq!(trace, digest(&format!("{HEAD}5 read 1\n")));
    let other_head = HEAD.replace("value_bytes 4", "value_bytes 5");
    for other in [
        HEAD.to_owned(),
        format!("{HEAD}6 read 1\n"),
        format!("{HEAD}5 read 1\n5 read 1\n"),
        format!("{other_head}5 read 1\n"),
    ] {
        assert_ne!(trace, digest(&other), "{other}");
    }
}

#[track_caller]
fn refused(text: &str, expected_line: u64, expected: LineProblem) {
    match TraceSummary::of("typed", text.as_bytes()) {
        Err(TraceError::Line { line, problem, .. }) => {
            assert_eq!((line, problem), (expected_line, expected));
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused_line(line: &str, expected: LineProblem) {
    refused(&format!("{HEAD}5 read 1\n{line}"), 5, expected);
}

#[test]
fn a_head_of_another_kind_is_refused() {
    refused("", 1, LineProblem::Head);
    refused("trunkline-trace 2\n", 1, LineProblem::Head);
    refused("{\"trace\": 1}\n", 1, LineProblem::Head);
    let keys = LineProblem::Header {
        name: "keys",
        min: 1,
        max: 1 << 30,
    };
    refused("trunkline-trace 1\n", 2, keys);
    refused("trunkline-trace 1\nkeys 0\n", 2, keys);
    refused("trunkline-trace 1\nkeys 99999999999999999999\n", 2, keys);
    let value_bytes = LineProblem::Header {
        name: "value_bytes",
        min: 0,
        max: 16 << 20,
    };
    refused("trunkline-trace 1\nkeys 1\nvalue_bytes x\n", 3, value_bytes);
}

#[test]
fn a_line_of_another_form_is_named() {
    for line in [
        "\n",
        "6\n",
        "6 read\n",
        "6 read x\n",
        "6  read 1\n",
        " 6 read 1\n",
        "6 read 1 \n",
        "6 reads 1\n",
        "6 read 01\n",
        "6 read +1\n",
        "-6 read 1\n",
        "6 read 1 1\n",
        "6 multi_get 1\n",
        "6 multi_get 1 0\n",
        "6 multi_get 1 10001\n",
        "6 read 1\r\n",
        "6 read 18446744073709551616\n",
        "\u{ff10} read 1\n",
    ] {
        refused_line(line, LineProblem::Form);
    }
    refused_line("6 read 1", LineProblem::Length);
    refused_line(
        &format!("{} read 1\n", "6".repeat(100)),
        LineProblem::Length,
    );
}

#[test]
fn operations_that_cannot_follow_are_named() {
    refused_line("4 read 1\n", LineProblem::Backwards);
    refused_line(
        "6 read 10\n",
        LineProblem::Key {
            index: 10,
            keys: 10,
        },
    );
    refused_line(
        "6 multi_get 9 2\n",
        LineProblem::Key {
            index: 10,
            keys: 10,
        },
    );
    refused_line(
        "6 insert 11\n",
        LineProblem::Insert {
            index: 11,
            keys: 10,
        },
    );
    refused_line("6 insert 9\n", LineProblem::Insert { index: 9, keys: 10 });
}

proptest! {
    #[test]
    fn any_bytes_are_a_trace_or_an_error(tail in prop::collection::vec(any::<u8>(), 0..200)) {
        let text = [HEAD.as_bytes(), &tail].concat();
        let _ = TraceSummary::of("any", &text[..]);
    }
}
