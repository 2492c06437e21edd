//! Byte order marks of text files: that of UTF-8 is skipped, others are refused by name.

use std::str::Utf8Error;

/// The reason why a text cannot be read.
///
/// ```
/// use trunkline::config::{TextError, without_mark};
/// assert_eq!(without_mark(b"\xef\xbb\xbfname = 1"), Ok(&b"name = 1"[..]));
/// assert_eq!(without_mark(b"\xff\xfen\0"), Err(TextError::Utf16));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// The text begins with a byte order mark of UTF-16.
    #[error(
        "the text is UTF-16, as its byte order mark says; convert it: iconv -f UTF-16 -t UTF-8"
    )]
    Utf16,
    /// The text begins with a byte order mark of UTF-32.
    #[error(
        "the text is UTF-32, as its byte order mark says; convert it: iconv -f UTF-32 -t UTF-8"
    )]
    Utf32,
    /// The text is not UTF-8.
    #[error("the text is not UTF-8; convert it")]
    NotUtf8(#[source] Utf8Error),
}

/// Returns the text without its byte order mark, if it has one. Fails if the mark is not that of UTF-8.
///
/// See [`TextError`] for an example.
pub fn without_mark(text: &[u8]) -> Result<&[u8], TextError> {
    // The little-endian mark of UTF-32 begins like that of UTF-16.
    match text {
        [0xef, 0xbb, 0xbf, rest @ ..] => Ok(rest),
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Err(TextError::Utf32),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Err(TextError::Utf16),
        _ => Ok(text),
    }
}

/// Returns the text of a file without its byte order mark.
///
/// ```
/// use trunkline::config::{TextError, utf8};
/// assert_eq!(utf8(b"\xef\xbb\xbfname = 1"), Ok("name = 1"));
/// assert!(matches!(utf8(b"name = \xff"), Err(TextError::NotUtf8(_))));
/// ```
pub fn utf8(text: &[u8]) -> Result<&str, TextError> {
    std::str::from_utf8(without_mark(text)?).map_err(TextError::NotUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_of_utf_8_is_skipped_once_and_others_are_named() {
        assert_eq!(without_mark(b""), Ok(&b""[..]));
        assert_eq!(without_mark(b"\xef\xbb"), Ok(&b"\xef\xbb"[..]));
        assert_eq!(utf8("\u{feff}\u{feff}a".as_bytes()), Ok("\u{feff}a"));
        for text in [&b"\xff\xfea\0"[..], b"\xfe\xff\0a", b"\xff\xfe"] {
            assert_eq!(utf8(text), Err(TextError::Utf16));
        }
        for text in [&b"\xff\xfe\0\0a\0\0\0"[..], b"\0\0\xfe\xff\0\0\0a"] {
            assert_eq!(utf8(text), Err(TextError::Utf32));
        }
    }
}
