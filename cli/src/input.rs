//! Files that a command is given: read up to a bound, and refused beyond it.
//!
//! Not here: what is in them.

use std::io::{self, Read};
use std::path::Path;

use trunkline::core::wire::DecodeError;

use crate::error::CommandError;

/// The bytes of a file, or of standard input (`-`): at most one more than `bytes_max`, so that a decoder
/// with this bound says itself that there are too many.
pub(crate) fn read(path: &Path, bytes_max: usize) -> Result<Vec<u8>, CommandError> {
    let mut bytes = Vec::new();
    let limit = bytes_max as u64 + 1;
    let read = match path == Path::new("-") {
        true => io::stdin().lock().take(limit).read_to_end(&mut bytes),
        false => {
            std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
        }
    };
    read.map_err(CommandError::file("read", path))?;
    Ok(bytes)
}

/// Reads a file and what is in it; `what` it should be is for the error.
pub(crate) fn decode<T>(
    path: &Path,
    bytes_max: usize,
    what: &'static str,
    decode: impl FnOnce(&[u8]) -> Result<T, DecodeError>,
) -> Result<T, CommandError> {
    let bytes = read(path, bytes_max)?;
    decode(&bytes).map_err(|source| CommandError::Content {
        file: path.to_owned(),
        what,
        source,
    })
}
