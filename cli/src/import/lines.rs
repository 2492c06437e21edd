//! Lines of bounded length out of any reader.

use std::io::{self, BufRead};

use trunkline::core::params::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

/// Longest line, bytes: the longest key and value with every byte escaped (`\u0000`), and the rest
/// of a record.
pub(super) const LINE_BYTES_MAX: usize = 6 * (KEY_BYTES_MAX + VALUE_BYTES_MAX) + 1024;

/// What a line is, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Whole(&'a [u8]),
    /// Longer than allowed; the rest of it was passed over.
    TooLong,
}

/// Reads line by line; `\n` ends a line, a `\r` before it belongs to the end.
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

    /// The next line; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let mut is_empty = true;
        let mut is_too_long = false;
        loop {
            let buffer = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                buffer => buffer?,
            };
            if buffer.is_empty() {
                break;
            }
            is_empty = false;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let part = &buffer[..end.unwrap_or(buffer.len())];
            is_too_long |= self.line.len() + part.len() > self.bytes_max;
            if !is_too_long {
                self.line.extend_from_slice(part);
            }
            let consumed = part.len() + usize::from(end.is_some());
            self.reader.consume(consumed);
            self.bytes_read += consumed as u64;
            if end.is_some() {
                break;
            }
        }
        Ok(match (is_empty, is_too_long) {
            (true, _) => None,
            (false, true) => Some(Line::TooLong),
            (false, false) => Some(Line::Whole(
                self.line.strip_suffix(b"\r").unwrap_or(&self.line),
            )),
        })
    }

    /// Bytes read so far.
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
