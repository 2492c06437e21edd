//! A process that runs an engine under load until it is killed.
//!
//! The process is this test binary, started again with a single test. It prints to its standard output the results that
//! its callers received.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::sync_channel;

use trunkline::config::{DurabilityMode, KzgMode};
use trunkline::core::hash::{Digest, hex};
use trunkline::{Config, Engine, Receipt};

use crate::support::{NONCE, Shape};

const ORDER: &str = "TRUNKLINE_KILLED_PROCESS";
/// Submissions in flight at a time.
const WINDOW: usize = 12;

pub(crate) fn shape(seed: u64) -> Shape {
    Shape {
        seed,
        keys: 150,
        writes_max: 8,
        value_bytes_max: 400,
        requirements: true,
    }
}

/// Returns a configuration with frequent checkpoints and short segments.
pub(crate) fn config(directory: &Path, mode: DurabilityMode) -> Config {
    let mut config = Config::in_directory(directory);
    config.workers.threads = 1;
    config.store.key_order = true;
    config.checkpoint.bytes_max = 12 << 10;
    config.checkpoint.unflushed_bytes_max = 48 << 10;
    config.log.segment_bytes_max = 10 << 10;
    config.group.operations_max = 24;
    config.kzg.mode = KzgMode::OnDemand;
    config.durability.mode = mode;
    config.durability.interval_ms = 3;
    config
}

/// A line that the process printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It is about to open the engine.
    Begun,
    /// The state that the engine found: version, commit id, last sequence number.
    Opened(u64, Digest, u64),
    /// A durable receipt: sequence number, version, commit id.
    Durable(u64, u64, Digest),
}

pub(crate) struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    pub(crate) fn start(directory: &Path, mode: DurabilityMode, seed: u64, round: u64) -> Self {
        let mode = match mode {
            DurabilityMode::Sync => "sync",
            DurabilityMode::Interval => "interval",
            DurabilityMode::Os => "os",
        };
        let order = format!("{mode} {seed} {round} {}", directory.display());
        let mut child = Command::new(std::env::current_exe().expect("a test knows itself"))
            .args(["--exact", "killed::the_process_that_is_killed"])
            .args(["--ignored", "--nocapture", "--test-threads=1"])
            .env(ORDER, order)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the process starts");
        let stdout = child.stdout.take().expect("it was asked for");
        let lines = BufReader::new(stdout).lines();
        Self { child, lines }
    }

    /// Returns the next line, or `None` when the process has ended.
    pub(crate) fn listen(&mut self) -> Option<Said> {
        loop {
            let line = self.lines.next()?.ok()?;
            if let Some(said) = parse(&line) {
                return Some(said);
            }
        }
    }

    /// Kills the process with SIGKILL. Returns the lines that were not read yet.
    pub(crate) fn kill(mut self) -> Vec<Said> {
        self.child.kill().expect("it is there");
        let rest = std::iter::from_fn(|| self.listen()).collect();
        let status = self.child.wait().expect("it can be waited for");
        assert!(status.code().is_none(), "it ended by itself: {status}");
        rest
    }
}

fn parse(line: &str) -> Option<Said> {
    // A killed process may leave half a line.
    let words: Vec<&str> = line.strip_suffix(" .")?.split(' ').collect();
    let number = |word: &str| word.parse().ok();
    let digest = |word: &str| ::hex::decode(word).ok()?.try_into().ok();
    match words[..] {
        ["begun"] => Some(Said::Begun),
        ["opened", version, id, sequence] => Some(Said::Opened(
            number(version)?,
            digest(id)?,
            number(sequence)?,
        )),
        ["durable", sequence, version, id] => Some(Said::Durable(
            number(sequence)?,
            number(version)?,
            digest(id)?,
        )),
        _ => None,
    }
}

/// Prints a line. Ends the process if the other end is closed.
fn say(words: String) {
    let mut out = std::io::stdout().lock();
    if out.write_all(words.as_bytes()).is_err() {
        std::process::exit(0);
    }
    let _ = out.flush();
}

#[test]
#[ignore = "a process that other tests start and kill; does nothing by itself"]
fn the_process_that_is_killed() {
    let Ok(order) = std::env::var(ORDER) else {
        return;
    };
    let words: Vec<&str> = order.splitn(4, ' ').collect();
    let mode = match words[0] {
        "sync" => DurabilityMode::Sync,
        "interval" => DurabilityMode::Interval,
        _ => DurabilityMode::Os,
    };
    let (seed, round) = (words[1].parse().unwrap(), words[2].parse().unwrap());
    run_until_killed(Path::new(words[3]), mode, &shape(seed), round);
}

fn run_until_killed(directory: &Path, mode: DurabilityMode, shape: &Shape, round: u64) {
    // The test harness has printed a line without its end.
    say("\nbegun .\n".to_owned());
    let engine = Engine::builder(config(directory, mode))
        .nonce(NONCE)
        .open_blocking()
        .expect("the directory opens");
    let snapshot = engine.snapshot();
    let last = snapshot.record().last_sequence;
    let (version, id) = (snapshot.version(), hex(&snapshot.commit_id()));
    drop(snapshot);
    say(format!("opened {version} {id} {last} .\n"));
    let (receipts, to_tell) = sync_channel::<Receipt>(WINDOW);
    std::thread::spawn(move || {
        for receipt in to_tell {
            let durable = receipt.durable_blocking().expect("nothing fails");
            let (sequence, id) = (receipt.sequence(), hex(&durable.commit_id));
            say(format!("durable {sequence} {} {id} .\n", durable.version));
        }
    });
    for sequence in last + 1.. {
        let batch = shape.submission(round, sequence).batch();
        let receipt = engine.submit_blocking(batch).expect("nothing fails");
        assert_eq!(receipt.sequence(), sequence);
        receipts.send(receipt).expect("the telling thread lives");
    }
}
