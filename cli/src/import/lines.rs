//! Reads lines of bounded length.

use std::io::{self, BufRead, Read};

use trunkline::core::params::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

/// Longest line, bytes: the longest key and value with every byte escaped (`\u0000`), and the rest of a record.
pub(super) const LINE_BYTES_MAX: usize = 6 * (KEY_BYTES_MAX + VALUE_BYTES_MAX) + 1024;

/// A line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Whole(&'a [u8]),
    /// A line that is longer than allowed and was skipped.
    TooLong,
}

/// Reads line by line. `\n` ends a line, with a `\r` before it.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    bytes_max: usize,
    line: Vec<u8>,
    bytes_read: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R, bytes_max: usize) -> Self {
        Self {
            reader,
            bytes_max,
            line: Vec::new(),
            bytes_read: 0,
        }
    }

    /// Returns the next line; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        // One byte more than a line may have: its end.
        let bytes_max = self.bytes_max as u64 + 1;
        let mut limited = (&mut self.reader).take(bytes_max);
        let read = limited.read_until(b'\n', &mut self.line)?;
        self.bytes_read += read as u64;
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        if line.len() > self.bytes_max {
            self.bytes_read += self.reader.skip_until(b'\n')? as u64;
            return Ok(Some(Line::TooLong));
        }
        let whole = Line::Whole(line.strip_suffix(b"\r").unwrap_or(line));
        Ok((read > 0).then_some(whole))
    }

    /// Returns the number of bytes read so far.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// All lines, read through a buffer of any size.
    fn lines(text: &[u8], buffer_bytes: usize) -> Vec<Option<Vec<u8>>> {
        let mut lines = Lines::new(BufReader::with_capacity(buffer_bytes, text), 5);
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push(match line {
                Line::Whole(line) => Some(line.to_vec()),
                Line::TooLong => None,
            });
        }
        assert_eq!(lines.bytes_read(), text.len() as u64);
        all
    }

    #[test]
    fn lines_end_at_newlines_and_at_the_end_whatever_the_buffer() {
        for buffer_bytes in 1..12 {
            let found = lines(b"a\nbc\r\n\nlast", buffer_bytes);
            let expected = ["a", "bc", "", "last"].map(|line| Some(line.into()));
            assert_eq!(found, expected);
            assert!(lines(b"", buffer_bytes).is_empty());
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_whole() {
        for buffer_bytes in 1..12 {
            let found = lines(b"12345\n123456\n1234567890123\nab", buffer_bytes);
            let expected = [Some(b"12345".to_vec()), None, None, Some(b"ab".to_vec())];
            assert_eq!(found, expected);
        }
    }
}
