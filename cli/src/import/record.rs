//! Parses a record from a line.

use bytes::Bytes;
use serde::Deserialize;
use trunkline::config::TextError;
use trunkline::core::params::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

use super::Format;
use super::lines::LINE_BYTES_MAX;

/// A key and its value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) key: Bytes,
    pub(super) value: Bytes,
}

/// Why a line is not a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LineError {
    #[error("longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    #[error(transparent)]
    Encoding(#[from] TextError),
    #[error("not {{\"key\": \"…\", \"value\": \"…\"}}: {message} (column {column})")]
    Json { message: String, column: usize },
    #[error("no tab between key and value")]
    Tab,
    #[error("the key is empty")]
    KeyEmpty,
    #[error("the key has {0} bytes, at most {KEY_BYTES_MAX} are allowed")]
    KeyTooLong(usize),
    #[error("the value has {0} bytes, at most {VALUE_BYTES_MAX} are allowed")]
    ValueTooLong(usize),
    #[error("the record has {bytes} bytes, submit.batch_bytes_max allows {bytes_max}")]
    RecordTooLong { bytes: usize, bytes_max: usize },
}

/// A line of NDJSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Json {
    key: String,
    value: String,
}

impl Record {
    /// Parses a line; `bytes_max` is the most bytes of a batch.
    pub(super) fn read(line: &[u8], format: Format, bytes_max: usize) -> Result<Self, LineError> {
        let record = match format {
            Format::Ndjson => Self::read_json(line)?,
            Format::Tsv => Self::read_tsv(line)?,
        };
        record.check(bytes_max)?;
        Ok(record)
    }

    fn read_json(line: &[u8]) -> Result<Self, LineError> {
        let json: Json = serde_json::from_slice(line).map_err(|error| json_error(&error))?;
        Ok(Self {
            key: json.key.into(),
            value: json.value.into(),
        })
    }

    fn read_tsv(line: &[u8]) -> Result<Self, LineError> {
        let tab = line.iter().position(|byte| *byte == b'\t');
        let (key, value) = line.split_at(tab.ok_or(LineError::Tab)?);
        Ok(Self {
            key: Bytes::copy_from_slice(key),
            value: Bytes::copy_from_slice(&value[1..]),
        })
    }

    fn check(&self, bytes_max: usize) -> Result<(), LineError> {
        let (key, value) = (self.key.len(), self.value.len());
        if key == 0 {
            return Err(LineError::KeyEmpty);
        }
        if key > KEY_BYTES_MAX {
            return Err(LineError::KeyTooLong(key));
        }
        if value > VALUE_BYTES_MAX {
            return Err(LineError::ValueTooLong(value));
        }
        if key + value > bytes_max {
            return Err(LineError::RecordTooLong {
                bytes: key + value,
                bytes_max,
            });
        }
        Ok(())
    }
}

/// Returns the error of the parser without its line number: it sees only one line.
fn json_error(error: &serde_json::Error) -> LineError {
    let text = error.to_string();
    let message = text
        .split_once(" at line ")
        .map_or(&*text, |(start, _)| start);
    LineError::Json {
        message: message.to_owned(),
        column: error.column(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(line: &str) -> Result<Record, LineError> {
        Record::read(line.as_bytes(), Format::Ndjson, usize::MAX)
    }

    fn tsv(line: &[u8]) -> Result<Record, LineError> {
        Record::read(line, Format::Tsv, usize::MAX)
    }

    fn record(key: &'static [u8], value: &'static [u8]) -> Record {
        Record {
            key: Bytes::from_static(key),
            value: Bytes::from_static(value),
        }
    }

    #[test]
    fn a_json_line_has_a_key_and_a_value_and_nothing_else() {
        let read = json(r#" {"value": "a\nb\u0000", "key": "k\u00e9"} "#);
        assert_eq!(read, Ok(record("ké".as_bytes(), b"a\nb\0")));
        let malformed = [
            "",
            "{}",
            "[]",
            "null",
            r#"{"key": "a"}"#,
            r#"{"key": "a", "value": 5}"#,
            r#"{"key": "a", "value": null}"#,
            r#"{"key": "a", "value": "b", "more": "c"}"#,
            r#"{"key": "a", "key": "b", "value": "c"}"#,
            r#"{"key": "a", "value": "b"} x"#,
            r#"{"key": "a", "value": "b"#,
            r#"{"key": "\ud800", "value": "b"}"#,
        ];
        for line in malformed {
            assert!(matches!(json(line), Err(LineError::Json { .. })), "{line}");
        }
        assert!(Record::read(b"{\"key\":\"\xff\",\"value\":\"\"}", Format::Ndjson, 9).is_err());
    }

    #[test]
    fn a_json_error_names_the_column_alone() {
        let error = json(r#"{"key": "a", "value": 5}"#).unwrap_err().to_string();
        assert!(error.contains("invalid type: integer `5`"), "{error}");
        assert!(
            error.contains("(column 23)") && !error.contains("line"),
            "{error}"
        );
    }

    #[test]
    fn a_tsv_line_is_cut_at_the_first_tab() {
        assert_eq!(tsv(b"k\tv"), Ok(record(b"k", b"v")));
        assert_eq!(tsv(b"k\t"), Ok(record(b"k", b"")));
        assert_eq!(tsv(b"\xff\ta\tb\\n"), Ok(record(b"\xff", b"a\tb\\n")));
        assert_eq!(tsv(b"k"), Err(LineError::Tab));
        assert_eq!(tsv(b"\tv"), Err(LineError::KeyEmpty));
    }

    #[test]
    fn limits_hold() {
        let line = [vec![b'k'; KEY_BYTES_MAX + 1], b"\tv".to_vec()].concat();
        assert_eq!(tsv(&line), Err(LineError::KeyTooLong(KEY_BYTES_MAX + 1)));
        let line = [b"k\t".to_vec(), vec![b'v'; VALUE_BYTES_MAX + 1]].concat();
        assert_eq!(
            tsv(&line),
            Err(LineError::ValueTooLong(VALUE_BYTES_MAX + 1))
        );
        let error = LineError::RecordTooLong {
            bytes: 3,
            bytes_max: 2,
        };
        assert_eq!(Record::read(b"a\tbc", Format::Tsv, 2), Err(error));
    }
}
