//! `import`: stores the records of a file, one a line, in a directory.
//!
//! `lines` reads lines of bounded length, `record` parses one. A malformed line is skipped and counted; the first ones are
//! shown with their numbers. Empty lines are ignored.

mod lines;
mod record;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use trunkline::Engine;

use crate::configuration::SettingsArguments;
use crate::error::CommandError;
use crate::input::is_standard;
use crate::interrupt::Interrupt;
use crate::output::{duration, grouped, rate};
use crate::progress::{Progress, Unit};
use crate::single::open_engine;
use crate::submitter::{Submitter, Tally};
use crate::{Exit, configuration, output};

use lines::{LINE_BYTES_MAX, Line, Lines};
pub(crate) use record::LineError;
use record::Record;

/// Most malformed lines that are shown.
const SHOWN_LINES_MAX: usize = 10;
const READ_BYTES: usize = 256 * 1024;

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// File of records, one a line; - is standard input.
    file: PathBuf,
    /// Directory of the engine, created if missing.
    #[arg(long)]
    dir: PathBuf,
    /// Format of a line. Default: tsv for files named *.tsv, otherwise ndjson.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Stop at the first malformed line. Records before it may already be stored.
    #[arg(long)]
    strict: bool,
    /// Records in a batch.
    #[arg(long, default_value = "1000")]
    batch: NonZeroUsize,
    /// Batches in flight.
    #[arg(long, default_value = "16")]
    in_flight: NonZeroUsize,
    #[command(flatten)]
    settings: SettingsArguments,
}

/// Format of a line of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// {"key": "…", "value": "…"} with no other fields.
    Ndjson,
    /// Key, tab, value up to the end of the line, without escapes.
    Tsv,
}

/// Results of reading.
#[derive(Debug, Default)]
struct Found {
    lines: u64,
    records: u64,
    malformed: u64,
    /// The first malformed lines.
    shown: Vec<(u64, LineError)>,
    is_interrupted: bool,
}

pub(crate) fn run(arguments: &ImportArguments) -> Result<Exit, CommandError> {
    let interrupt = Interrupt::listen()?;
    let config = configuration::for_directory(&arguments.settings, &arguments.dir)?;
    let (reader, total) = open(&arguments.file)?;
    let engine = open_engine(config)?;
    let exit = import(arguments, &engine, reader, total, &interrupt);
    let closed = engine.shutdown_blocking();
    let exit = exit?;
    closed?;
    Ok(exit)
}

/// Opens the file. Returns its size if that is known.
fn open(path: &Path) -> Result<(Box<dyn BufRead>, Option<u64>), CommandError> {
    if is_standard(path) {
        return Ok((Box::new(io::stdin().lock()), None));
    }
    let file = File::open(path).map_err(CommandError::file("read", path))?;
    let metadata = file.metadata().map_err(CommandError::file("read", path))?;
    let total = metadata.is_file().then_some(metadata.len());
    Ok((Box::new(BufReader::with_capacity(READ_BYTES, file)), total))
}

fn import(
    arguments: &ImportArguments,
    engine: &Engine,
    reader: Box<dyn BufRead>,
    total: Option<u64>,
    interrupt: &Interrupt,
) -> Result<Exit, CommandError> {
    let mut submitter = Submitter::new(engine, arguments.batch, arguments.in_flight);
    let mut progress = Progress::start("import", Unit::Bytes, total);
    let read = read(arguments, reader, &mut submitter, &mut progress, interrupt);
    // Makes accepted records durable, even if reading failed.
    let tally = submitter.finish()?;
    let (_, elapsed) = progress.finish();
    let found = read?;
    show_malformed(&arguments.file, &found);
    output::show(report(&found, tally, elapsed, engine));
    if let (0, Some((_, first))) = (found.records, found.shown.first()) {
        return Err(CommandError::NoRecords {
            file: arguments.file.clone(),
            lines: found.lines,
            first: first.clone(),
        });
    }
    Ok(match () {
        () if found.is_interrupted => Exit::Interrupted,
        () if tally.refused > 0 => Exit::Failed,
        () => Exit::Done,
    })
}

fn read(
    arguments: &ImportArguments,
    reader: Box<dyn BufRead>,
    submitter: &mut Submitter<'_>,
    progress: &mut Progress,
    interrupt: &Interrupt,
) -> Result<Found, CommandError> {
    let format = arguments.format.unwrap_or(guess(&arguments.file));
    let bytes_max = submitter.bytes_max();
    let mut lines = Lines::new(reader, LINE_BYTES_MAX);
    let mut found = Found::default();
    let mut shown_bytes = 0;
    while !interrupt.is_requested() {
        let line = lines.next();
        let Some(line) = line.map_err(CommandError::file("read", &arguments.file))? else {
            return Ok(found);
        };
        found.lines += 1;
        let record = match line {
            Line::Whole([]) => continue,
            Line::Whole(line) => Record::read(line, format, bytes_max),
            Line::TooLong => Err(LineError::TooLong),
        };
        match record {
            Ok(record) => {
                submitter.put(record.key, record.value)?;
                found.records += 1;
            }
            Err(error) if arguments.strict => {
                return Err(CommandError::Strict {
                    file: arguments.file.clone(),
                    line: found.lines,
                    error,
                    records: found.records,
                });
            }
            Err(error) => found.skip(error),
        }
        if lines.bytes_read() - shown_bytes >= READ_BYTES as u64 {
            progress.advance(lines.bytes_read() - shown_bytes);
            shown_bytes = lines.bytes_read();
        }
    }
    found.is_interrupted = true;
    Ok(found)
}

impl Found {
    fn skip(&mut self, error: LineError) {
        self.malformed += 1;
        if self.shown.len() < SHOWN_LINES_MAX {
            self.shown.push((self.lines, error));
        }
    }
}

fn guess(path: &Path) -> Format {
    match path.extension() {
        Some(extension) if extension == "tsv" => Format::Tsv,
        _ => Format::Ndjson,
    }
}

fn show_malformed(file: &Path, found: &Found) {
    for (line, error) in &found.shown {
        output::tell(format!("{}:{line}: {error}", file.display()));
    }
    let more = found.malformed - found.shown.len() as u64;
    if more > 0 {
        output::tell(format!("… and {} more malformed lines", grouped(more)));
    }
}

fn report(found: &Found, tally: &Tally, elapsed: Duration, engine: &Engine) -> String {
    let mut text = format!(
        "{} records of {} lines in {} ({}/s), {} malformed lines skipped\n",
        grouped(found.records),
        grouped(found.lines),
        duration(elapsed),
        grouped(rate(found.records, elapsed)),
        grouped(found.malformed),
    );
    if found.is_interrupted {
        text += "interrupted: the remaining lines were not read\n";
    }
    if let Some(refusal) = &tally.first_refusal {
        let (refused, batches) = (grouped(tally.refused), grouped(tally.batches));
        text +=
            &format!("{refused} of {batches} batches were refused, the first because {refusal}\n");
    }
    let snapshot = engine.snapshot();
    text += &format!("{} keys are present\n", grouped(snapshot.key_count()));
    text + &output::root_lines(&snapshot.root())
}
