//! The commands of `docs/ci-example.yml`, run as the workflow runs them, on a smaller load.

use std::path::Path;

use crate::support::{Ran, Workplace, command};

/// Returns the commands of a workflow that begin with `trunkline`, each in one line.
fn commands(workflow: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    let mut is_folded = false;
    for line in workflow.lines() {
        let text = line.trim();
        match text.strip_prefix("run: ") {
            Some(">-") => is_folded = true,
            Some(command) if command.starts_with("trunkline ") => commands.push(command.to_owned()),
            _ if is_folded && text.starts_with("trunkline ") => commands.push(text.to_owned()),
            _ if is_folded && text.starts_with("--") => {
                let last = commands.last_mut().unwrap();
                *last += &format!(" {text}");
            }
            _ => is_folded = false,
        }
    }
    commands
}

/// Splits a command at spaces outside quotes, and leaves out redirections.
fn words(command: &str) -> Vec<String> {
    let command = command.split(" >> ").next().unwrap();
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for character in command.chars() {
        match character {
            '"' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            other => words.last_mut().unwrap().push(other),
        }
    }
    words
}

#[test]
fn the_commands_of_the_workflow_do_what_it_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ci-example.yml");
    let workflow = std::fs::read_to_string(path).unwrap();
    let workplace = Workplace::new();
    let ran: Vec<Ran> = commands(&workflow)
        .iter()
        .map(|line| {
            let small = line.replace("--keys 100000 --rate 20000", "--keys 300 --rate 2000");
            let small = small.replace("--warmup 5 --duration 60", "--warmup 0 --duration 1");
            let mut command = command();
            command
                .current_dir(workplace.path(""))
                .args(&words(&small)[1..]);
            command.output().unwrap().into()
        })
        .collect();
    let [load, markdown, page] = &ran[..] else {
        panic!("{ran:?}");
    };
    // A tenth of the rate is below the threshold.
    assert_eq!((load.code, markdown.code, page.code), (4, 0, 0), "{ran:?}");
    assert!(
        markdown.stdout.contains("of 6 thresholds hold"),
        "{markdown:?}"
    );
    let xml = std::fs::read_to_string(workplace.path("junit.xml")).unwrap();
    assert_eq!(xml.matches("<testcase ").count(), 7);
    assert!(workplace.path("runs/load/report.html").exists());
}
