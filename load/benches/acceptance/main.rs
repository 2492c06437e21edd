//! What the engine moves by itself is held to here, on the real engine.
//!
//! `cargo bench -p trunkline-load --bench acceptance -- [ROUNDS] [--part PART] [--pairs N]
//! [--directory PATH] [--seconds-divisor N]`. In each of 3 rounds, or as many as are asked for, one after the other:
//!
//! - `caps`, three minutes: a closed loop under the adaptive cap from several starts, and under static caps between
//!   them. The 20 windows in which the cap may be searched for begin with the first operation, those that fill the
//!   engine included, and are left out of static runs too. An adaptive run is held against the static cap that is best
//!   by the middle of all rounds; the best of each round, which has luck on its side, is shown beside it.
//! - `shifts`, three and a half minutes: loads that shift, adaptive and with the default cap fixed beside it.
//! - `workloads`, two minutes: YCSB A, B, C, D and F, `write`, `write` with values of 4 KiB, and bursts,
//!   adaptive and with the default configuration fixed beside it.
//!
//! What is compared runs in the opposite order in every second round, since machines drift. Tables in Markdown, as in
//! `docs/TUNING.md`, and a line for each criterion, with how many runs keep it by themselves; what is missed is said
//! and fails nothing, since a noisy machine misses too.
//!
//! One part is run alone with `--part`, and one only so:
//!
//! - `slowdown`, about 75 seconds for each of 6 pairs (`--pairs`): runs of which one has a tenth of every core taken,
//!   and how often `trunkline_load::compare` finds it in all pairs and in draws of half of them; and the same of runs as
//!   they are.
//!
//! With a divisor all times are that much shorter, those of windows too: for trying the bench out, its figures say
//! nothing, and runs of `slowdown` become too short to be compared. Not here: `figures`, `criteria` and `pairs` make
//! figures and verdicts of what was measured, and are tested in `tests/load`; scenarios in virtual time are in
//! `tests/control`, which says as this bench does how still a cap is (`cap_at_rest`).

mod caps;
mod runs;
mod shifts;
mod slowdown;
mod text;
mod workloads;

use std::process::ExitCode;

use trunkline_load::compare::PAIRS_MIN;

use caps::Caps;
use runs::Runs;
use shifts::Shifts;
use workloads::Workloads;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "arguments: [ROUNDS, at least 1] [--part caps|shifts|workloads|slowdown] [--pairs N, at least 3] \
                     [--directory PATH] [--seconds-divisor 1 to 10]";

fn main() -> ExitCode {
    let Some(asked) = Asked::of(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    if asked.runs.seconds_divisor > 1 {
        let divisor = asked.runs.seconds_divisor;
        println!("All times divided by {divisor}: these figures say nothing.\n");
    }
    match asked.part {
        Some(Part::Slowdown) => asked.slowdown(),
        _ => asked.rounds(),
    }
    ExitCode::SUCCESS
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Caps,
    Shifts,
    Workloads,
    Slowdown,
}

impl Part {
    fn named(name: &str) -> Option<Self> {
        match name {
            "caps" => Some(Self::Caps),
            "shifts" => Some(Self::Shifts),
            "workloads" => Some(Self::Workloads),
            "slowdown" => Some(Self::Slowdown),
            _ => None,
        }
    }
}

/// What is to be measured, and how.
struct Asked {
    rounds: usize,
    /// All that have rounds, if none is named.
    part: Option<Part>,
    pairs: usize,
    runs: Runs,
}

impl Asked {
    /// Nothing if the words are not understood.
    fn of(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let mut asked = Self {
            rounds: 3,
            part: None,
            pairs: 6,
            runs: Runs {
                parent: env!("CARGO_TARGET_TMPDIR").into(),
                seconds_divisor: 1,
            },
        };
        while let Some(word) = words.next() {
            match word.as_str() {
                // Cargo says it to every bench.
                "--bench" => {}
                "--part" => asked.part = Some(Part::named(&words.next()?)?),
                "--pairs" => asked.pairs = words.next()?.parse().ok()?,
                "--directory" => asked.runs.parent = words.next()?.into(),
                "--seconds-divisor" => asked.runs.seconds_divisor = words.next()?.parse().ok()?,
                rounds => asked.rounds = rounds.parse().ok()?,
            }
        }
        let is_sound = asked.rounds > 0
            && asked.pairs >= PAIRS_MIN
            && (1..=10).contains(&asked.runs.seconds_divisor);
        is_sound.then_some(asked)
    }

    fn has(&self, part: Part) -> bool {
        self.part.is_none_or(|asked| asked == part)
    }

    fn rounds(&self) {
        let mut caps = self.has(Part::Caps).then(Caps::new);
        let mut shifts = self.has(Part::Shifts).then(Shifts::new);
        let mut workloads = self
            .has(Part::Workloads)
            .then(|| Workloads::new(&self.runs));
        for round in 1..=self.rounds {
            eprintln!("round {round} of {}", self.rounds);
            if let Some(caps) = &mut caps {
                caps.measure(&self.runs, round);
            }
            if let Some(shifts) = &mut shifts {
                shifts.measure(&self.runs, round);
            }
            if let Some(workloads) = &mut workloads {
                workloads.measure(&self.runs, round);
            }
        }
        let texts = [
            caps.map(|caps| caps.to_string()),
            shifts.map(|shifts| shifts.to_string()),
            workloads.map(|workloads| workloads.to_string()),
        ];
        let texts: Vec<String> = texts.into_iter().flatten().collect();
        print!("{}", texts.join("\n"));
    }

    fn slowdown(&self) {
        match slowdown::measured(&self.runs, self.pairs) {
            Ok(found) => print!("{found}"),
            Err(error) => println!("Nothing can be said: {error}."),
        }
    }
}
