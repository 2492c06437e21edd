//! The trunkline command: load tests and their reports, imports, proofs, inspection.
//!
//! | subcommand | module |
//! | --- | --- |
//! | `load` | [`load`]; its live view is [`tui`] |
//! | `report`, `compare` | [`report`], [`compare`] |
//! | `sweep`, `tune` | [`sweep`], [`tune`]; both run trials by [`trial`] |
//! | `import`, `export` | [`import`], which submits by [`submitter`]; [`export`] |
//! | `backup`, `restore` | [`backup`], [`restore`] |
//! | `serve`, `token` | [`serve`], [`token`] |
//! | `keygen`, `primary`, `replica`, `promote`, `rejoin` | [`member`] |
//! | `get`, `put`, `delete` | [`single`] |
//! | `revert` | [`revert`] |
//! | `prove`, `verify`, `proof show` | [`prove`], [`verify`], [`show`] |
//! | `history`, `evidence`, `audit` | [`history`], [`evidence`], [`audit`] |
//! | `inspect`, `check` | [`inspect`], [`check`] |
//! | `config show`, `config check` | [`configuration`] |
//!
//! Each module declares its flags; [`arguments`] has the shared ones. [`input`] reads files, [`output`] and [`table`]
//! format results, [`verdict`] reports checks, [`thresholds`] and [`junit`] those of a run, [`error`] has the errors.
//! Exit codes: 0 done or proven, 1 a check failed (proof or submission refused, key absent), 2 unusable input,
//! directory or configuration, 3 a proof is consistent and nothing was trusted, 4 a threshold is not met, 130
//! interrupted. Results go to standard output, progress and errors to standard error.

#![forbid(unsafe_code)]
// Both macros panic if they cannot write; `output` writes instead.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod arguments;
mod audit;
mod backup;
mod check;
mod compare;
mod configuration;
mod error;
mod evidence;
mod export;
mod history;
mod import;
mod input;
mod inspect;
mod interrupt;
mod junit;
mod load;
mod member;
mod output;
mod progress;
mod prove;
mod range;
mod report;
mod restore;
mod revert;
mod serve;
mod show;
mod single;
mod submitter;
mod sweep;
mod table;
mod temporary;
mod thresholds;
mod token;
mod trial;
mod tui;
mod tune;
mod verdict;
mod verify;
mod versions;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};
use error::CommandError;

/// The system's allocator is much slower for the engine (docs/decisions/010-dependencies.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The result of a command whose input was usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// Done, proven, found.
    Done,
    /// A check failed.
    Failed,
    /// A proof is consistent, and nothing is trusted.
    Consistent,
    /// All checks hold, but a threshold is not met.
    Threshold,
    /// The user interrupted it.
    Interrupted,
}

impl Exit {
    /// Returns the result of a command whose checks hold or not.
    fn of(holds: bool) -> Self {
        match holds {
            true => Self::Done,
            false => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Failed => Self::from(1),
            Exit::Consistent => Self::from(3),
            Exit::Threshold => Self::from(4),
            Exit::Interrupted => Self::from(130),
        }
    }
}

/// The exit code of an error.
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    let command = match Arguments::try_parse() {
        Ok(arguments) => arguments.command,
        Err(error) => return not_parsed(&error),
    };
    match run(command) {
        Ok(exit) => exit.into(),
        Err(error) => {
            output::tell_error("error", &error);
            ExitCode::from(UNUSABLE)
        }
    }
}

/// Prints help or the version, or the problem with the arguments.
fn not_parsed(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        // The output has no colours, because it repeats arguments, which are escaped.
        output::tell_text(error.render().to_string());
        return ExitCode::from(UNUSABLE);
    }
    // A closed output is no failure when printing help.
    let _ = error.print();
    ExitCode::SUCCESS
}

fn run(command: Command) -> Result<Exit, CommandError> {
    match command {
        Command::Load(arguments) => load::run(&arguments),
        Command::Sweep(arguments) => sweep::run(&arguments),
        Command::Tune(arguments) => tune::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Backup(arguments) => backup::run(&arguments),
        Command::Restore(arguments) => restore::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Range(arguments) => range::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Token(arguments) => token::run(&arguments),
        Command::Keygen(arguments) => member::keygen(&arguments),
        Command::Primary(arguments) => member::primary(&arguments),
        Command::Replica(arguments) => member::replica(&arguments),
        Command::Promote(arguments) => member::promote(&arguments),
        Command::Rejoin(arguments) => member::rejoin(&arguments),
        Command::Get(arguments) => single::get(&arguments),
        Command::Put(arguments) => single::put(&arguments),
        Command::Delete(arguments) => single::delete(&arguments),
        Command::Revert(arguments) => revert::run(&arguments),
        Command::Prove(arguments) => prove::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Proof(command) => show::run(&command),
        Command::History(command) => history::run(&command),
        Command::Evidence(command) => evidence::run(&command),
        Command::Audit(command) => audit::run(&command),
        Command::Versions(arguments) => versions::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Config(command) => configuration::run(&command),
    }
}
