//! `export`: writes all keys and values of a version, one record per line, as `import` reads them.

use std::io::Write;
use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use trunkline::{KeyRange, ReadError, Snapshot};
use trunkline_load::{FileError, may_replace, replace_file_with};

use crate::Exit;
use crate::error::CommandError;
use crate::import::{self, Format, Record};
use crate::input::is_standard;
use crate::interrupt::Interrupt;
use crate::output::{self, grouped, shown};
use crate::progress::{Progress, Unit};
use crate::single::replayed_at;

/// Least number of bytes that are written at once.
const PART_BYTES_MIN: usize = 256 << 10;

#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
pub(crate) struct ExportArguments {
    /// Directory of the state.
    #[arg(long, visible_alias = "directory")]
    dir: PathBuf,
    /// Version to export: any since the last checkpoint, or an archived one [default: the last].
    #[arg(long)]
    version: Option<u64>,
    /// Format of a line. Default: tsv for files named *.tsv, otherwise ndjson. Plain TSV has no escapes: a record that it
    /// cannot hold ends the export with an error.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write the keys in byte order, not in path order. Needs a directory with store.key_order = true.
    #[arg(long)]
    key_order: bool,
    /// Output file, which is written atomically; - is standard output. An older export in NDJSON is replaced.
    #[arg(long, value_name = "FILE", default_value = "-")]
    to: PathBuf,
}

/// The end of an export without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Every key was written.
    Whole,
    /// The reader closed its end.
    Unwanted,
    /// The user interrupted it.
    Interrupted,
}

/// An export that was interrupted or failed. Nothing is written to its file.
enum Unfinished {
    Interrupted,
    Failed(CommandError),
}

impl<E: Into<CommandError>> From<E> for Unfinished {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

pub(crate) fn run(arguments: &ExportArguments) -> Result<Exit, CommandError> {
    let format = arguments.format.unwrap_or(import::guess(&arguments.to));
    let is_file = !is_standard(&arguments.to);
    if is_file {
        may_replace(&arguments.to, head(format))?;
    }
    let interrupt = Interrupt::listen()?;
    let snapshot = replayed_at(&arguments.dir, arguments.version)?;
    let export = Export {
        snapshot: &snapshot,
        format,
        is_ordered: arguments.key_order,
        interrupt: &interrupt,
    };
    let end = match is_file {
        false => export.write(output::print_part)?,
        true => match replace_file_with(&arguments.to, |file| export.write_file(arguments, file)) {
            Ok(()) => End::Whole,
            Err(Unfinished::Interrupted) => End::Interrupted,
            Err(Unfinished::Failed(error)) => return Err(error),
        },
    };
    tell(&snapshot, end, is_file, arguments.key_order);
    Ok(match end {
        End::Whole | End::Unwanted => Exit::Done,
        End::Interrupted => Exit::Interrupted,
    })
}

/// Returns the beginning of a file that an export may replace. A line of TSV does not identify the format, so no TSV
/// file is replaced: no record begins with a line end.
fn head(format: Format) -> &'static [u8] {
    match format {
        Format::Ndjson => b"{\"key",
        Format::Tsv | Format::TsvHex => b"\n",
    }
}

fn tell(snapshot: &Snapshot, end: End, is_file: bool, is_ordered: bool) {
    let order = match is_ordered {
        true => "byte",
        false => "path",
    };
    let of = format!(
        "version {}, commit id {}",
        snapshot.version(),
        hex::encode(snapshot.commit_id())
    );
    match end {
        End::Whole => {
            let keys = grouped(snapshot.key_count());
            output::tell(format!("exported {keys} keys in {order} order of {of}"));
        }
        End::Interrupted if is_file => {
            output::tell(format!("interrupted: no file was written of {of}"));
        }
        End::Interrupted => output::tell(format!("interrupted: not all keys were written of {of}")),
        End::Unwanted => {}
    }
}

/// An export in progress.
struct Export<'a> {
    snapshot: &'a Snapshot,
    format: Format,
    is_ordered: bool,
    interrupt: &'a Interrupt,
}

/// All keys and values of a version, in either order.
type Entries<'a> = dyn Iterator<Item = Result<(Bytes, Bytes), ReadError>> + 'a;

impl Export<'_> {
    fn entries(&self) -> Box<Entries<'_>> {
        match self.is_ordered {
            true => Box::new(self.snapshot.range_iter(KeyRange::all())),
            false => Box::new(self.snapshot.iter()),
        }
    }

    fn write_file(
        &self,
        arguments: &ExportArguments,
        file: &mut dyn Write,
    ) -> Result<(), Unfinished> {
        let end = self.write(|part| {
            let failed = |source| FileError::Io {
                path: arguments.to.clone(),
                source,
            };
            file.write_all(part).map_err(failed)?;
            Ok(true)
        })?;
        match end {
            End::Interrupted => Err(Unfinished::Interrupted),
            End::Whole | End::Unwanted => Ok(()),
        }
    }

    /// Writes all records in order, in parts. `write` returns whether more is wanted.
    fn write(
        &self,
        mut write: impl FnMut(&[u8]) -> Result<bool, CommandError>,
    ) -> Result<End, CommandError> {
        let keys = self.snapshot.key_count();
        let mut progress = Progress::start("export", Unit::Operations, Some(keys));
        let mut part = Vec::with_capacity(2 * PART_BYTES_MIN);
        for entry in self.entries() {
            let (key, value) = entry?;
            let written = Record::write(&key, &value, self.format, &mut part);
            written.map_err(|source| CommandError::Unwritable {
                key: shown(&key),
                source,
            })?;
            progress.advance(1);
            if part.len() < PART_BYTES_MIN {
                continue;
            }
            if self.interrupt.is_requested() {
                return Ok(End::Interrupted);
            }
            if !write(&part)? {
                return Ok(End::Unwanted);
            }
            part.clear();
        }
        Ok(match write(&part)? {
            true => End::Whole,
            false => End::Unwanted,
        })
    }
}
