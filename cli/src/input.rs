//! Reads the files that are given to a command, up to a bound.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use trunkline::core::proof::{PROOF_BYTES_MAX, Proof};

use crate::error::CommandError;

/// Returns whether a path stands for standard input or output.
pub(crate) fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Reads and decodes a file, or standard input (`-`). `what` names the expected content, for the error message.
pub(crate) fn decode<T, E: Error + Send + Sync + 'static>(
    path: &Path,
    bytes_max: usize,
    what: &'static str,
    decode: impl FnOnce(&[u8]) -> Result<T, E>,
) -> Result<T, CommandError> {
    let read = |reader: &mut dyn Read| {
        let mut bytes = Vec::new();
        // One byte more than allowed, so that the decoder refuses a file that is too long.
        let limit = bytes_max as u64 + 1;
        reader.take(limit).read_to_end(&mut bytes).map(|_| bytes)
    };
    let bytes = match is_standard(path) {
        true => read(&mut io::stdin().lock()),
        false => File::open(path).and_then(|mut file| read(&mut file)),
    };
    let bytes = bytes.map_err(CommandError::file("read", path))?;
    decode(&bytes).map_err(|source| CommandError::Content {
        file: path.to_owned(),
        what,
        source: Box::new(source),
    })
}

/// Reads a proof of keys.
pub(crate) fn proof(path: &Path) -> Result<Proof, CommandError> {
    decode(path, PROOF_BYTES_MAX, "a proof", Proof::decode)
}
