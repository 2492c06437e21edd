use proptest::prelude::*;
use trunkline_load::{FileError, Phases, Plan, PlanError};

#[track_caller]
fn says(text: &str, expected: &str) {
    let error = Plan::from_toml("plan.toml", text).unwrap_err();
    assert_eq!(error.to_string(), expected);
}

#[track_caller]
fn begins(text: &str, expected: &str) {
    let error = Plan::from_toml("plan.toml", text).unwrap_err().to_string();
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn what_is_no_plan_is_named_by_line_and_column() {
    begins(
        "keys = 5\nvalue = 3",
        "plan.toml:2:1: unknown field `value`",
    );
    begins("keys = \"five\"", "plan.toml:1:8: invalid type");
    begins("keys = ", "plan.toml:1:8: ");
    begins("workload = \"z\"", "plan.toml:1:12: unknown variant `z`");
    begins(
        "[[phase]]\nrate_factor = 2.0",
        "plan.toml:1:1: missing field `at_s`",
    );
    begins(
        "[shape]\nkind = \"sine\"\nperiod = 3.0",
        "plan.toml:1:1: unknown field `period`",
    );
    begins("[mix]\nreads = 100", "plan.toml:2:1: unknown field `reads`");
}

#[test]
fn values_out_of_bounds_are_named_by_key() {
    says("keys = 0", "plan.toml: keys must be 1 to 1073741824, not 0");
    says(
        "value_bytes = 16777217",
        "plan.toml: value_bytes must be 0 to 16777216, not 16777217",
    );
    says(
        "rate = 0.0",
        "plan.toml: rate must be 0.01 to 100000000, not 0",
    );
    says(
        "rate = nan",
        "plan.toml: rate must be 0.01 to 100000000, not NaN",
    );
    says(
        "duration_s = inf",
        "plan.toml: duration_s must be 0.001 to 604800, not inf",
    );
    says("readers = 0", "plan.toml: readers must be 1 to 1024, not 0");
    says(
        "[mix]\nread = 99",
        "plan.toml: the sum of mix must be 100, not 99",
    );
    says(
        "[[phase]]\nat_s = 5\nmix = { read = 50, update = 51 }",
        "plan.toml: the sum of phase[0].mix must be 100, not 101",
    );
    says(
        "[[phase]]\nat_s = 5\n[[phase]]\nat_s = 5",
        "plan.toml: phase[1].at_s must be later than that of the phase before, 5, not 5",
    );
    says(
        "[shape]\nkind = \"bursts\"\nevery_s = 1\nlength_s = 2\nfactor = 3",
        "plan.toml: shape.length_s must be 0.001 to 1, not 2",
    );
}

#[test]
fn a_file_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("phases.toml");
    let error = Phases::from_file(&path).unwrap_err();
    assert!(matches!(error, PlanError::File(FileError::Io { .. })));
    std::fs::write(&path, "phase = 1").unwrap();
    let error = Phases::from_file(&path).unwrap_err().to_string();
    assert!(error.contains("phases.toml:1:9: "), "{error}");
    std::fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(matches!(
        Plan::from_file(&path),
        Err(PlanError::File(FileError::TooLong { .. }))
    ));
}

#[test]
fn a_plan_is_the_same_after_writing_and_reading() {
    let text = r#"
        name = "evening"
        workload = "e"
        distribution = "hotspot"
        mode = "closed"
        arrivals = "constant"
        pacing = "spin"
        proof_top = "kzg"
        readers = 3
        warmup_s = 0.5
        ops = 10
        [mix]
        read = 100
        [shape]
        kind = "ramp"
        from = 0.5
        to = 2.0
        over_s = 60.0
        [[phase]]
        at_s = 3.5
        rate_factor = 0.0
        workload = "b"
        distribution = "latest"
        [[phase]]
        at_s = 4.5
        mix = { multi_get = 40, delete = 60 }
    "#;
    let plan = Plan::from_toml("plan.toml", text).unwrap();
    assert_eq!(Plan::from_toml("again", &plan.to_toml()).unwrap(), plan);
    let default = Plan::default();
    assert_eq!(
        Plan::from_toml("again", &default.to_toml()).unwrap(),
        default
    );
}

proptest! {
    #[test]
    fn any_text_is_a_plan_or_an_error(text in "\\PC{0,200}") {
        let _ = Plan::from_toml("any", &text);
    }
}
