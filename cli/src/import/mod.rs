//! `import`: stores the records of a file, one per line, in a directory.
//!
//! `chunks` reads on its own thread, `lines` cuts the input into lines of bounded length, `record` parses a line. A
//! malformed line is skipped and counted; the first ones are shown with their numbers. Empty lines are ignored. A
//! signal ends the import in order even while it waits for input, and records never wait long to be submitted.

mod chunks;
mod lines;
mod record;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use trunkline::config::without_mark;
use trunkline::{Config, Engine};

use crate::arguments::parse_count;
use crate::configuration::SettingsArguments;
use crate::error::CommandError;
use crate::interrupt::Interrupt;
use crate::output::{duration, grouped, rate};
use crate::progress::{Progress, Unit};
use crate::single::open_engine;
use crate::submitter::{Submitter, Tally};
use crate::{Exit, configuration, output};

use chunks::{Chunk, Chunks};
pub(crate) use lines::UNENDED_BYTES_MAX;
use lines::{LINE_BYTES_MAX, Line, Lines};
pub(crate) use record::{LineError, Record, UnwritableError};

/// Most malformed lines that are shown.
const SHOWN_LINES_MAX: usize = 10;
/// Longest time for which a record waits for others in its batch, and for an interrupt to be noticed.
const WAIT_MAX: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// File of records, one per line; - is standard input. UTF-8, with or without a byte order mark.
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
    #[arg(long, default_value = "1000", value_parser = parse_count::<10_000_000>)]
    batch: NonZeroUsize,
    /// Batches in flight.
    #[arg(long, default_value = "16", value_parser = parse_count::<65_536>)]
    in_flight: NonZeroUsize,
    #[command(flatten)]
    settings: SettingsArguments,
}

/// Format of a line of an import or an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// {"key": "…", "value": "…"} with no other fields. Bytes that are not UTF-8 are in "key_hex" or "value_hex" instead.
    Ndjson,
    /// Key, tab, value up to the end of the line, without escapes.
    Tsv,
    /// Key in hex, tab, value in hex.
    TsvHex,
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
    run_on(arguments, open_engine, |_| Ok(()))
}

/// Imports into an engine that `open` opens. `finish` is called when everything is durable, before the engine is closed.
pub(crate) fn run_on(
    arguments: &ImportArguments,
    open: impl FnOnce(Config) -> Result<Engine, CommandError>,
    finish: impl FnOnce(&Engine) -> Result<(), CommandError>,
) -> Result<Exit, CommandError> {
    let config = configuration::for_directory(&arguments.settings, &arguments.dir)?;
    let interrupt = Interrupt::listen()?;
    let chunks = Chunks::read(&arguments.file)?;
    let failed = || CommandError::file("read", &arguments.file);
    let total = loop {
        match chunks.opened(WAIT_MAX).map_err(failed())? {
            Some(total) => break total,
            None if interrupt.is_requested() => {
                output::tell("interrupted: nothing was read");
                return Ok(Exit::Interrupted);
            }
            None => {}
        }
    };
    let engine = open(config)?;
    let exit = import(arguments, &engine, &chunks, total, &interrupt);
    let exit = exit.and_then(|exit| finish(&engine).map(|()| exit));
    let closed = engine.shutdown_blocking();
    let exit = exit?;
    closed?;
    Ok(exit)
}

fn import(
    arguments: &ImportArguments,
    engine: &Engine,
    chunks: &Chunks,
    total: Option<u64>,
    interrupt: &Interrupt,
) -> Result<Exit, CommandError> {
    let mut import = Import {
        file: &arguments.file,
        format: arguments.format.unwrap_or(guess(&arguments.file)),
        is_strict: arguments.strict,
        submitter: Submitter::new(engine, arguments.batch, arguments.in_flight),
        found: Found::default(),
    };
    let mut progress = Progress::start("import", Unit::Bytes, total);
    let read = import.read(chunks, &mut progress, interrupt);
    // Makes accepted records durable, even if reading failed.
    let tally = import.submitter.finish()?;
    let (_, elapsed) = progress.finish();
    let found = &import.found;
    show_malformed(&arguments.file, found);
    read?;
    output::show(report(found, tally, elapsed, engine));
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

/// An import in progress.
struct Import<'a> {
    file: &'a Path,
    format: Format,
    is_strict: bool,
    submitter: Submitter<'a>,
    found: Found,
}

impl Import<'_> {
    /// Reads to the end, or until an interrupt. A record waits at most [`WAIT_MAX`] for others in its batch.
    fn read(
        &mut self,
        chunks: &Chunks,
        progress: &mut Progress,
        interrupt: &Interrupt,
    ) -> Result<(), CommandError> {
        let mut lines = Lines::new(LINE_BYTES_MAX);
        while !interrupt.is_requested() {
            let chunk = chunks.next(WAIT_MAX);
            match chunk.map_err(CommandError::file("read", self.file))? {
                Chunk::Idle => {}
                Chunk::Bytes(bytes) => {
                    lines.add(&bytes);
                    progress.advance(bytes.len() as u64);
                }
                Chunk::End => {
                    return lines.last().map_or(Ok(()), |line| self.take(line));
                }
            }
            while !interrupt.is_requested()
                && let Some(line) = lines.next()
            {
                self.take(line)?;
            }
            if lines.is_endless() {
                return Err(CommandError::EndlessLine {
                    file: self.file.to_owned(),
                    line: self.found.lines,
                    records: self.found.records,
                });
            }
            self.submitter.flush_after(WAIT_MAX)?;
        }
        self.found.is_interrupted = true;
        Ok(())
    }

    /// Submits the record of a line, or counts the line as malformed.
    fn take(&mut self, line: Line<'_>) -> Result<(), CommandError> {
        self.found.lines += 1;
        let is_first = self.found.lines == 1;
        match self.record(line, is_first) {
            Ok(None) => {}
            Ok(Some(record)) => {
                self.submitter.put(record.key, record.value)?;
                self.found.records += 1;
            }
            // Every other line has the same encoding.
            Err(error) if self.is_strict || matches!(error, LineError::Encoding(_)) => {
                return Err(CommandError::Strict {
                    file: self.file.to_owned(),
                    line: self.found.lines,
                    error,
                    records: self.found.records,
                });
            }
            Err(error) => self.found.skip(error),
        }
        Ok(())
    }

    /// Returns the record of a line, or nothing for an empty line. The first line may have a byte order mark.
    fn record(&self, line: Line<'_>, is_first: bool) -> Result<Option<Record>, LineError> {
        let Line::Whole(line) = line else {
            return Err(LineError::TooLong);
        };
        let line = if is_first { without_mark(line)? } else { line };
        if line.is_empty() {
            return Ok(None);
        }
        Record::read(line, self.format, self.submitter.bytes_max()).map(Some)
    }
}

impl Found {
    fn skip(&mut self, error: LineError) {
        self.malformed += 1;
        if self.shown.len() < SHOWN_LINES_MAX {
            self.shown.push((self.lines, error));
        }
    }
}

/// Returns the format that the file name suggests.
pub(crate) fn guess(path: &Path) -> Format {
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
        text += &format!(
            "interrupted after line {}: what was read is stored, later lines were not read\n",
            grouped(found.lines)
        );
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
