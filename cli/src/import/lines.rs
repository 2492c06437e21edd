//! Cuts a stream into lines of bounded length, however it is divided into chunks.

use trunkline::core::params::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

/// Longest line, bytes: the longest key and value with every byte escaped (`\u0000`), and the rest of a record.
pub(super) const LINE_BYTES_MAX: usize = 6 * (KEY_BYTES_MAX + VALUE_BYTES_MAX) + 1024;
/// Bytes without a line end after which a stream has no lines.
pub(crate) const UNENDED_BYTES_MAX: u64 = 4 * LINE_BYTES_MAX as u64;

/// A line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Whole(&'a [u8]),
    /// A line that is longer than allowed. Its rest is skipped.
    TooLong,
}

/// Cuts chunks into lines. `\n` ends a line, with a `\r` before it.
#[derive(Debug)]
pub(super) struct Lines {
    bytes_max: usize,
    /// Bytes that were received and not returned, from `start` on.
    bytes: Vec<u8>,
    start: usize,
    /// Number of bytes of `bytes`, from `start` on, that are known to have no line end.
    searched: usize,
    /// Number of skipped bytes of a line that is too long, until its end is found.
    skipped: Option<u64>,
}

impl Lines {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            bytes: Vec::new(),
            start: 0,
            searched: 0,
            skipped: None,
        }
    }

    /// Adds a chunk. The lines of earlier chunks should have been taken.
    pub(super) fn add(&mut self, chunk: &[u8]) {
        let chunk = match &mut self.skipped {
            None => chunk,
            Some(skipped) => match chunk.iter().position(|byte| *byte == b'\n') {
                None => {
                    *skipped += chunk.len() as u64;
                    return;
                }
                Some(end) => {
                    self.skipped = None;
                    &chunk[end + 1..]
                }
            },
        };
        self.bytes.drain(..std::mem::take(&mut self.start));
        self.bytes.extend_from_slice(chunk);
    }

    /// Returns the next complete line.
    pub(super) fn next(&mut self) -> Option<Line<'_>> {
        let found = self.bytes[self.start + self.searched..]
            .iter()
            .position(|byte| *byte == b'\n');
        let (length, is_ended) = match found {
            Some(distance) => (self.searched + distance, true),
            None => (self.bytes.len() - self.start, false),
        };
        if is_ended {
            let line = self.start..self.start + length;
            self.start = line.end + 1;
            self.searched = 0;
            return Some(self.whole(&self.bytes[line]));
        }
        if length <= self.bytes_max {
            self.searched = length;
            return None;
        }
        self.skipped = Some(length as u64);
        self.clear();
        Some(Line::TooLong)
    }

    /// Returns the last line of a stream that has ended, if it has no line end.
    pub(super) fn last(&mut self) -> Option<Line<'_>> {
        let line = self.start..self.bytes.len();
        self.start = line.end;
        self.searched = 0;
        (!line.is_empty()).then(|| self.whole(&self.bytes[line]))
    }

    fn whole<'a>(&self, line: &'a [u8]) -> Line<'a> {
        match line.len() > self.bytes_max {
            true => Line::TooLong,
            false => Line::Whole(line.strip_suffix(b"\r").unwrap_or(line)),
        }
    }

    /// Discards all bytes, and frees the memory of a long line.
    fn clear(&mut self) {
        self.bytes = Vec::new();
        (self.start, self.searched) = (0, 0);
    }

    /// Returns whether the stream has gone on so long without a line end that none is expected.
    pub(super) fn is_endless(&self) -> bool {
        self.skipped
            .is_some_and(|skipped| skipped > UNENDED_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns all lines, from chunks of any size.
    fn lines(text: &[u8], chunk_bytes: usize) -> Vec<Option<Vec<u8>>> {
        let mut lines = Lines::new(5);
        let mut all = Vec::new();
        let mut add = |line: Line<'_>| {
            all.push(match line {
                Line::Whole(line) => Some(line.to_vec()),
                Line::TooLong => None,
            });
        };
        for chunk in text.chunks(chunk_bytes) {
            lines.add(chunk);
            while let Some(line) = lines.next() {
                add(line);
            }
        }
        if let Some(line) = lines.last() {
            add(line);
        }
        assert!(lines.last().is_none());
        all
    }

    #[test]
    fn lines_end_at_newlines_and_at_the_end_whatever_the_chunks() {
        for chunk_bytes in 1..12 {
            let found = lines(b"a\nbc\r\n\nlast", chunk_bytes);
            let expected = ["a", "bc", "", "last"].map(|line| Some(line.into()));
            assert_eq!(found, expected);
            assert!(lines(b"", chunk_bytes).is_empty());
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_whole() {
        for chunk_bytes in 1..16 {
            let found = lines(b"12345\n123456\n1234567890123\nab", chunk_bytes);
            let expected = [Some(b"12345".to_vec()), None, None, Some(b"ab".to_vec())];
            assert_eq!(found, expected, "{chunk_bytes}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_told_at_its_bound_and_takes_no_memory_beyond() {
        let mut lines = Lines::new(5);
        let chunk = vec![0; 1 << 20];
        lines.add(&chunk);
        assert_eq!(lines.next(), Some(Line::TooLong));
        while !lines.is_endless() {
            lines.add(&chunk);
            assert_eq!(lines.next(), None);
            assert_eq!(lines.bytes.capacity(), 0);
        }
        lines.add(b"0\nab\n");
        assert!(!lines.is_endless());
        assert_eq!(lines.next(), Some(Line::Whole(b"ab")));
    }
}
