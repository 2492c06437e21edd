//! Runs simulated worlds by hand: ranges of seeds, or one failing world again.

use std::collections::BTreeSet;
use std::ops::Range;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use trunkline_simulation::{Selection, Worlds, describe, parse_numbers, run, run_seeds, shrink};

/// Runs the engine in simulated worlds and checks everything that it says. A failing world is made smaller, and the
/// command that runs it again is printed.
#[derive(Debug, Parser)]
struct Arguments {
    /// Seeds, as FROM..TO.
    #[arg(long, value_parser = range, default_value = "0..1000")]
    seeds: Range<u64>,
    /// Worlds that run at the same time.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Stops behind this many batches.
    #[arg(long)]
    batches: Option<u64>,
    /// Runs this seed alone, and prints every event.
    #[arg(long)]
    seed: Option<u64>,
    /// With --seed: leaves these steps and faults of the plan out, such as 1-7,9.
    #[arg(long, value_parser = numbers, default_value = "")]
    without: Numbers,
    /// With --seed: the seed of another schedule.
    #[arg(long)]
    schedule: Option<u64>,
    /// With --seed: prints no events.
    #[arg(long)]
    quiet: bool,
}

#[derive(Clone, Debug)]
struct Numbers(BTreeSet<u32>);

fn range(text: &str) -> Result<Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("write FROM..TO")?;
    let number = |text: &str| text.parse().map_err(|error| format!("{text}: {error}"));
    Ok(number(from)?..number(to)?)
}

fn numbers(text: &str) -> Result<Numbers, String> {
    parse_numbers(text).map(Numbers)
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.seed {
        Some(seed) => again(seed, &arguments),
        None => all(&arguments),
    }
}

/// Runs one world.
fn again(seed: u64, arguments: &Arguments) -> ExitCode {
    let selection = Selection {
        seed,
        schedule: arguments.schedule,
        left_out: arguments.without.0.clone(),
        prints: !arguments.quiet,
    };
    let outcome = run(&selection);
    println!("{:?}\ntrace {:016x}", outcome.counts, outcome.trace_hash);
    match outcome.failure {
        None => ExitCode::SUCCESS,
        Some(failed) => {
            println!("{}\n{}", failed.plan, failed.report);
            ExitCode::FAILURE
        }
    }
}

/// Runs worlds until one fails.
fn all(arguments: &Arguments) -> ExitCode {
    let began = Instant::now();
    let range = Worlds {
        seeds: arguments.seeds.clone(),
        threads: arguments.threads,
        batches_max: arguments.batches,
    };
    let mut shown = 0;
    let (counts, failing) = run_seeds(&range, |counts| {
        if counts.batches / 10_000 > shown {
            shown = counts.batches / 10_000;
            let seconds = began.elapsed().as_secs_f64();
            println!(
                "{seconds:>8.1} s: {} worlds, {} batches",
                counts.worlds, counts.batches
            );
        }
    });
    for (name, count) in counts.named() {
        println!("{name:>20}: {count}");
    }
    println!(
        "seeds {:?} in {:.1} s",
        arguments.seeds,
        began.elapsed().as_secs_f64()
    );
    let Some((selection, outcome)) = failing else {
        return ExitCode::SUCCESS;
    };
    println!("\n{}\nMaking it smaller …", describe(&selection, &outcome));
    let (selection, outcome) = shrink(&selection, outcome);
    println!("\n{}", describe(&selection, &outcome));
    if let Some(failed) = &outcome.failure {
        println!("{}", failed.plan);
    }
    ExitCode::FAILURE
}
