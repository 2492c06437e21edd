use quick_junit::{Report, TestCaseStatus};
use trunkline_load::Run;

use crate::markup::Markup;
use crate::support::{Ran, Workplace, run};
use crate::synthetic::{Made, Shape};

const SMALL: [&str; 11] = [
    "load", "--keys", "300", "--ops", "600", "--batch", "50", "--proofs", "4", "--rate", "50000",
];

fn load(more: &[&str]) -> Ran {
    run(SMALL.iter().chain(more))
}

fn junit(path: &std::path::Path) -> Vec<(String, Option<String>)> {
    let xml = std::fs::read_to_string(path).unwrap();
    let report = Report::deserialize_from_str(&xml).unwrap();
    let cases = report
        .test_suites
        .into_iter()
        .flat_map(|suite| suite.test_cases);
    let status = |status| match status {
        TestCaseStatus::NonSuccess { message, .. } => message.map(|text| text.to_string()),
        _ => None,
    };
    cases
        .map(|case| (case.name.to_string(), status(case.status)))
        .collect()
}

#[test]
fn a_threshold_that_holds_changes_no_exit_code_and_another_one_does() {
    let workplace = Workplace::new();
    let (out, xml) = (workplace.text("run"), workplace.text("junit.xml"));
    let files = ["--out", &out, "--junit", &xml];
    let kept = ["--threshold", "failed<1", "--threshold", "update.p99<60s"];
    let ran = load(&[&files[..], &kept].concat()).done();
    assert!(ran.stdout.contains("update.p99<60s"), "{ran:?}");
    assert!(!ran.stdout.contains("FAILED"), "{ran:?}");
    let cases = junit(&workplace.path("junit.xml"));
    let passed = ["the run has no errors", "failed<1", "update.p99<60s"];
    assert_eq!(cases, passed.map(|name| (name.to_owned(), None)));

    // The same files are written again.
    let ran = load(&[&files[..], &kept, &["--threshold", "throughput>1M"]].concat());
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stdout.contains("FAILED"), "{ran:?}");
    let cases = junit(&workplace.path("junit.xml"));
    let message = cases[3].1.as_ref().unwrap();
    assert!(
        message.starts_with("throughput>1M does not hold: "),
        "{message}"
    );
    let made = Run::read_from(&workplace.path("run")).unwrap();
    let holds: Vec<bool> = made.thresholds.iter().map(|result| result.holds).collect();
    assert_eq!(holds, [true, true, false]);
    assert!(made.workload.contains("throughput>1M"), "{}", made.workload);
    // The plan of a run has its thresholds.
    let again = run(["load", "--plan", &out, "--proofs", "4", "--json"]);
    assert_eq!(
        (again.code, &again.json()["thresholds"][2]["holds"]),
        (4, &false.into())
    );
}

#[test]
fn thresholds_of_a_plan_are_replaced_by_typed_ones_of_the_same_metric() {
    let workplace = Workplace::new();
    let plan = workplace.text("plan.toml");
    let text = "thresholds = [\"update.p99<1ns\", \"failed<1\"]\n";
    std::fs::write(&plan, text).unwrap();
    assert_eq!(load(&["--plan", &plan]).code, 4);
    let ran = load(&["--plan", &plan, "--threshold", "update.p99<60s", "--json"]).done();
    let thresholds = ran.json()["thresholds"].as_array().unwrap().clone();
    let texts: Vec<_> = thresholds
        .iter()
        .map(|one| one["threshold"].as_str().unwrap())
        .collect();
    assert_eq!(texts, ["failed<1", "update.p99<60s"]);
}

#[test]
fn a_typo_is_an_error_before_anything_is_begun() {
    let workplace = Workplace::new();
    let state = workplace.text("state");
    let ran = load(&["--dir", &state, "--threshold", "update.p98<5ms"]);
    assert_eq!(ran.code, 2);
    for part in [
        "update.p98 is not a metric",
        "generator_late.STATISTIC",
        "p99.99",
    ] {
        assert!(ran.stderr.contains(part), "{ran:?}");
    }
    load(&["--dir", &state, "--threshold", "insert.p99<5ms"]).unusable(
        "thresholds[0] must be about operations of the plan (read, update), not insert.p99<5ms",
    );
    let plan = workplace.text("plan.toml");
    std::fs::write(&plan, "keys = 9\nthresholds = [\"failed=0\"]\n").unwrap();
    load(&["--dir", &state, "--plan", &plan])
        .unusable("failed=0 is not a threshold; write a metric");
    std::fs::write(workplace.path("mine"), "mine").unwrap();
    load(&["--dir", &state, "--junit", &workplace.text("mine")]).unusable("holds something else");
    assert!(!workplace.path("state").exists());
}

#[test]
fn a_finished_run_is_judged_by_its_report() {
    let workplace = Workplace::new();
    let mut made = Made::new(Shape::default());
    made.run.thresholds = vec![
        "update.p99<1s"
            .parse::<trunkline_load::Threshold>()
            .unwrap()
            .check(&made.run.totals),
    ];
    made.run.name = "a<b>\"&\u{1b}[1m".to_owned();
    made.run
        .warnings
        .push(trunkline_load::Warning::Missing { keys: 3 });
    made.run
        .warnings
        .push(trunkline_load::Warning::RateUncertain);
    made.write_to(&workplace.path("run"));
    let (out, xml) = (workplace.text("run"), workplace.text("junit.xml"));
    let report = |more: &[&str]| run(["report", &*out].iter().chain(more));
    let ran = report(&[]).done();
    assert!(ran.stdout.contains("update.p99<1s"), "{ran:?}");
    // No verdict was requested.
    let ran = report(&["--junit", &xml]).done();
    assert!(ran.stdout.contains("passed"), "{ran:?}");
    let cases = junit(&workplace.path("junit.xml"));
    assert_eq!(cases.len(), 2);
    let missing = "3 reads found nothing, although their keys must exist";
    assert_eq!(cases[0].1.as_deref(), Some(missing));
    let text = std::fs::read_to_string(&xml).unwrap();
    assert!(
        text.contains("doubt: the rate was measured with few operations"),
        "{text}"
    );

    let ran = report(&[
        "--threshold",
        "update.p99<1ms",
        "--threshold",
        "delete.p50<1s",
    ]);
    assert_eq!(ran.code, 4);
    assert!(
        ran.stdout.contains("not measured") && !ran.stdout.contains("update.p99<1s"),
        "{ran:?}"
    );
    report(&["--threshold", "throughput>1k"]).done();
    let page = workplace.text("page.html");
    report(&["--html", &page]).done();
    let page = std::fs::read_to_string(page).unwrap();
    let markup = Markup::parse(&page);
    assert!(markup.texts().any(|text| text == "update.p99<1s"));
}
