use trunkline::Config;

use crate::support::{Workplace, run};

const PLAN: [&str; 6] = ["--keys", "200", "--ops", "400", "--batch", "20"];

#[test]
fn a_sweep_runs_every_combination_in_a_closed_loop_and_at_every_share() {
    let sweep = [
        "sweep",
        "--vary",
        "group.operations_max=50,100",
        "--shares",
        "20,50",
    ];
    let json = ["--target-p99-ms", "60000", "--json"];
    let curves = run(sweep.iter().chain(&PLAN).chain(&json)).done().json();
    let curves = curves.as_array().unwrap();
    assert_eq!(curves.len(), 2);
    for (curve, value) in curves.iter().zip(["50", "100"]) {
        assert_eq!(curve["settings"][0]["value"], value);
        assert!(curve["closed"]["achieved_per_second"].as_f64().unwrap() > 0.0);
        assert_eq!(curve["open"].as_array().unwrap().len(), 2);
    }

    let text = run(sweep.iter().chain(&PLAN)).done().stdout;
    assert!(text.contains("group.operations_max=50 "), "{text}");
    assert!(text.contains("the knee furthest out: "), "{text}");
}

#[test]
fn what_was_tuned_is_a_configuration_file() {
    let workplace = Workplace::with_three_keys();
    let file = workplace.text("profile.toml");
    let tune = [
        "tune",
        "--vary",
        "group.in_flight_max=1,2",
        "--rounds",
        "1",
        "--out",
        &file,
    ];
    run(tune.iter().chain(&PLAN)).done();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("# in_flight_max = 4: "), "{text}");
    let config = Config::layers()
        .text("profile.toml", &text)
        .unwrap()
        .build()
        .unwrap();
    let mut expected = Config::default();
    expected.group.in_flight_max = config.group.in_flight_max;
    assert_eq!(config, expected);
}

#[test]
fn what_can_not_be_tried_is_named() {
    for (vary, says) in [
        ("group.operations=5", "unknown key group.operations"),
        ("group.linger_ms=often", "group.linger_ms"),
    ] {
        run(["sweep", "--vary", vary]).unusable(says);
    }
}
