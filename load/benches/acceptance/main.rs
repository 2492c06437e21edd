//! Measures the adaptive engine against static settings, on the real engine.
//!
//! `cargo bench -p trunkline-load --bench acceptance -- [ROUNDS] [--part PART] [--pairs N]
//! [--directory PATH] [--seconds-divisor N]`. It runs 3 rounds unless another number is given. A round has three parts:
//!
//! - `caps`, three minutes: a closed loop under the adaptive cap from several starts, alternating with static caps. The
//!   engine may search for the cap in 20 windows, which begin with the first operation of the fill. They are left out
//!   of static runs too. An adaptive run is compared with the static cap that is best by the median of all rounds. The
//!   best static cap of each round, which is partly luck, is shown as well.
//! - `shifts`, three and a half minutes: loads that shift, adaptive and with the default cap.
//! - `workloads`, two minutes: YCSB A, B, C, D and F, `write`, `write` with values of 4 KiB, and bursts, adaptive and
//!   with the default configuration.
//!
//! Every second round runs in the opposite order, because machines drift. The output is tables in Markdown, as in
//! `docs/TUNING.md`, and a line for each criterion, with the number of runs that meet it by themselves. A criterion
//! that is missed fails nothing, because a noisy machine misses some too.
//!
//! `--part` runs one part alone, and is the only way to run a fourth one:
//!
//! - `slowdown`, about 75 seconds for each of 6 pairs (`--pairs`): pairs of runs of which one has a tenth of every core
//!   taken, and how often `trunkline_load::compare` finds that in all pairs and in draws of half of them; and the same
//!   for pairs of equal runs.
//!
//! A divisor shortens all times, including those of windows, to try the bench out: its figures then mean nothing, and
//! runs of `slowdown` are too short to be compared. `criteria`, `figures` and `pairs` are pure and tested
//! (`tests.rs`).

mod caps;
mod criteria;
mod figures;
mod pairs;
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
        println!("All times are divided by {divisor}: these figures mean nothing.\n");
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

/// The parts to measure, and their options.
struct Asked {
    rounds: usize,
    /// The part to run; all three parts of a round if none is named.
    part: Option<Part>,
    pairs: usize,
    runs: Runs,
}

impl Asked {
    /// Parses the arguments.
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
                // Cargo passes this argument to every bench.
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
            Err(error) => println!("The runs cannot be compared: {error}."),
        }
    }
}
