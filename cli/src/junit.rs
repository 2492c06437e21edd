//! The results of a run as JUnit XML: one test case for the run itself, and one for each threshold.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use trunkline_load::{Run, Warning};

use crate::error::CommandError;
use crate::output::escaped_line;

/// Beginning of every such file.
pub(crate) const HEAD: &[u8] = b"<?xml version=\"1.0\" encoding";

/// Returns the file. `problems` are those that the run itself does not hold.
pub(crate) fn xml(run: &Run, problems: &[String]) -> Result<String, CommandError> {
    let name = if run.name.is_empty() {
        "run"
    } else {
        &run.name
    };
    let mut suite = TestSuite::new(escaped_line(name).into_owned());
    let elapsed = Duration::from_micros(run.totals.elapsed_us);
    suite.set_time(elapsed);
    suite.add_test_case(of_run(run, problems, elapsed));
    suite.add_test_cases(run.thresholds.iter().map(|result| {
        let status = match result.holds {
            true => TestCaseStatus::success(),
            false => failure(&result.to_string(), ""),
        };
        case(&result.threshold.to_string(), status)
    }));
    let mut report = Report::new("trunkline load");
    report.set_time(elapsed);
    report.add_test_suite(suite);
    Ok(report.to_string()?)
}

/// Returns the test case of the run itself: it fails for errors, and prints doubts about the figures.
fn of_run(run: &Run, problems: &[String], elapsed: Duration) -> TestCase {
    let (errors, doubts): (Vec<&Warning>, Vec<&Warning>) =
        run.warnings.iter().partition(|warning| is_error(warning));
    let errors = errors.into_iter().map(ToString::to_string);
    let errors: Vec<String> = errors.chain(problems.iter().cloned()).collect();
    let status = match errors.first() {
        None => TestCaseStatus::success(),
        Some(first) => failure(first, &errors.join("\n")),
    };
    let mut case = case("the run has no errors", status);
    case.set_time(elapsed);
    let doubts: Vec<String> = doubts
        .into_iter()
        .map(|doubt| format!("doubt: {doubt}"))
        .collect();
    if !doubts.is_empty() {
        case.set_system_out(doubts.join("\n"));
    }
    case
}

/// Returns whether a warning reports an error rather than a doubt about the figures.
fn is_error(warning: &Warning) -> bool {
    matches!(
        warning,
        Warning::Failed { .. }
            | Warning::Refused { .. }
            | Warning::Missing { .. }
            | Warning::Interrupted
            | Warning::BrokenOff { .. }
    )
}

fn case(name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname("trunkline.load");
    case
}

fn failure(message: &str, description: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_message(message);
    if !description.is_empty() {
        status.set_description(description);
    }
    status
}
