use std::process::Stdio;
use std::time::{Duration, Instant};

use trunkline_load::Run;

use crate::support::{Workplace, command, run};

/// Returns the value of a sample.
fn sample(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn the_figures_of_a_running_load_are_in_a_file_that_is_always_whole() {
    const PATIENCE: Duration = Duration::from_secs(120);
    let workplace = Workplace::new();
    let (file, out) = (workplace.text("trunkline.prom"), workplace.text("run"));
    let load = [
        "load",
        "--keys",
        "300",
        "--batch",
        "50",
        "--proofs",
        "4",
        "--rate",
        "3000",
        "--duration",
        "4",
        "--name",
        "nightly",
        "--metrics-file",
        &file,
        "--out",
        &out,
    ];
    let mut command = command();
    command
        .args(load)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let begun = Instant::now();
    let mut seen = Vec::new();
    let ended = loop {
        let ended = child.try_wait().unwrap();
        if let Ok(text) = std::fs::read_to_string(&file) {
            assert!(
                text.starts_with("# HELP trunkline_load_stage ") && text.ends_with('\n'),
                "{text}"
            );
            assert!(
                text.contains("\ntrunkline_load_generator_late_seconds{run=\"nightly\"} "),
                "{text}"
            );
            let offered = sample(
                &text,
                "trunkline_load_offered_operations_total{run=\"nightly\"}",
            )
            .unwrap();
            if seen.last() != Some(&offered) {
                seen.push(offered);
            }
        }
        if let Some(status) = ended {
            break status;
        }
        assert!(begun.elapsed() < PATIENCE, "{seen:?}");
        // The file changes between two reads.
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(ended.success());
    // The counters grew while it ran.
    assert!(seen.len() > 2 && seen.is_sorted(), "{seen:?}");
    let run = Run::read_from(&workplace.path("run")).unwrap();
    assert_eq!(seen.last(), Some(&(run.totals.offered as f64)));
    let text = std::fs::read_to_string(&file).unwrap();
    for (kind, total) in &run.totals.operations {
        let labels = format!("{{run=\"nightly\",operation=\"{}\"}}", kind.name());
        for name in ["achieved_operations_total", "latency_seconds_count"] {
            let name = format!("trunkline_load_{name}{labels}");
            assert_eq!(sample(&text, &name), Some(total.achieved as f64), "{name}");
        }
    }
}

#[test]
fn only_such_a_file_is_replaced() {
    let workplace = Workplace::new();
    std::fs::write(workplace.path("mine"), "mine").unwrap();
    let load = [
        "load",
        "--ops",
        "100",
        "--metrics-file",
        &workplace.text("mine"),
    ];
    run(load).unusable("mine exists and holds something else");
    let twice = [
        "load",
        "--ops",
        "100",
        "--metrics-file",
        &workplace.text("a"),
        "--junit",
        &workplace.text("a"),
    ];
    run(twice).unusable("would be written twice");
}
