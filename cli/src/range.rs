//! `range`: writes the keys of a range in byte order with their values, one record per line, as `export` does.

use std::ops::Bound;
use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use trunkline::KeyRange;

use crate::Exit;
use crate::arguments::{Key, parse_key};
use crate::error::CommandError;
use crate::import::{Format, Record};
use crate::interrupt::Interrupt;
use crate::output::{self, shown};
use crate::single::replayed_at;

/// Least number of bytes that are written at once.
const PART_BYTES_MIN: usize = 256 << 10;

#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
pub(crate) struct RangeArguments {
    /// Directory of the state, which was created with store.key_order = true.
    #[arg(long, visible_alias = "directory")]
    dir: PathBuf,
    /// Only keys with this prefix: text, or 0x and hex.
    #[arg(long, value_parser = parse_key, conflicts_with_all = ["from", "to"])]
    prefix: Option<Key>,
    /// Only this key and those after it: text, or 0x and hex.
    #[arg(long, value_parser = parse_key)]
    from: Option<Key>,
    /// Only keys before this one: text, or 0x and hex.
    #[arg(long, value_parser = parse_key)]
    to: Option<Key>,
    /// Write the last key first.
    #[arg(long)]
    reverse: bool,
    /// Most records to write.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Version to read: any since the last checkpoint, or an archived one [default: the last].
    #[arg(long)]
    version: Option<u64>,
    /// Format of a line. Plain TSV has no escapes: a record that it cannot hold ends the command with an error.
    #[arg(long, value_enum, default_value = "ndjson")]
    format: Format,
}

impl RangeArguments {
    fn range(&self) -> KeyRange {
        let range = match &self.prefix {
            Some(prefix) => KeyRange::prefix(&prefix.0),
            None => {
                let bytes = |key: &Key| Bytes::copy_from_slice(&key.0);
                let from = self.from.as_ref().map(bytes).map(Bound::Included);
                let to = self.to.as_ref().map(bytes).map(Bound::Excluded);
                let bounds = (
                    from.unwrap_or(Bound::Unbounded),
                    to.unwrap_or(Bound::Unbounded),
                );
                KeyRange::new::<Bytes>(bounds)
            }
        };
        match self.reverse {
            true => range.reversed(),
            false => range,
        }
    }
}

pub(crate) fn run(arguments: &RangeArguments) -> Result<Exit, CommandError> {
    let interrupt = Interrupt::listen()?;
    let snapshot = replayed_at(&arguments.dir, arguments.version)?;
    let limit = arguments.limit.unwrap_or(usize::MAX);
    let mut part = Vec::with_capacity(2 * PART_BYTES_MIN);
    for entry in snapshot.range_iter(arguments.range()).take(limit) {
        let (key, value) = entry?;
        let written = Record::write(&key, &value, arguments.format, &mut part);
        written.map_err(|source| CommandError::Unwritable {
            key: shown(&key),
            source,
        })?;
        if part.len() < PART_BYTES_MIN {
            continue;
        }
        if interrupt.is_requested() {
            return Ok(Exit::Interrupted);
        }
        if !output::print_part(&part)? {
            return Ok(Exit::Done);
        }
        part.clear();
    }
    output::print_part(&part)?;
    Ok(Exit::Done)
}
