//! Lines of records: parses a line, and writes a line that is parsed as the same record.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use trunkline::config::{TextError, without_mark};
use trunkline::core::params::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

use super::Format;
use super::lines::LINE_BYTES_MAX;

/// A key and its value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(super) key: Bytes,
    pub(super) value: Bytes,
}

/// A reason why a line is not a record.
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
    #[error("the {0} is not hex")]
    Hex(&'static str),
    #[error("the key is empty")]
    KeyEmpty,
    #[error("the key has {0} bytes, at most {KEY_BYTES_MAX} are allowed")]
    KeyTooLong(usize),
    #[error("the value has {0} bytes, at most {VALUE_BYTES_MAX} are allowed")]
    ValueTooLong(usize),
    #[error("the record has {bytes} bytes, submit.batch_bytes_max allows {bytes_max}")]
    RecordTooLong { bytes: usize, bytes_max: usize },
}

/// A reason why a record cannot be written in a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnwritableError {
    #[error("the key has a tab or a line end, or begins as a byte order mark does")]
    Key,
    #[error("the value has a line end")]
    Value,
}

/// A line of NDJSON to read. Text is in `key` and `value`, other bytes are in `key_hex` and `value_hex`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Json {
    key: Option<String>,
    key_hex: Option<String>,
    value: Option<String>,
    value_hex: Option<String>,
}

/// A line of NDJSON to write.
#[derive(Serialize)]
struct JsonRef<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_hex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_hex: Option<String>,
}

impl Record {
    /// Parses a line; `bytes_max` is the most bytes of a batch.
    pub(super) fn read(line: &[u8], format: Format, bytes_max: usize) -> Result<Self, LineError> {
        let record = match format {
            Format::Ndjson => Self::read_json(line)?,
            Format::Tsv => Self::read_tsv(line)?,
            Format::TsvHex => Self::read_tsv(line)?.decoded_hex()?,
        };
        record.check(bytes_max)?;
        Ok(record)
    }

    fn read_json(line: &[u8]) -> Result<Self, LineError> {
        let json: Json = serde_json::from_slice(line).map_err(|error| json_error(&error))?;
        Ok(Self {
            key: one_of(line, ["key", "key_hex"], json.key, json.key_hex)?,
            value: one_of(line, ["value", "value_hex"], json.value, json.value_hex)?,
        })
    }

    /// Appends the line of a record, with its end.
    pub(crate) fn write(
        key: &[u8],
        value: &[u8],
        format: Format,
        out: &mut Vec<u8>,
    ) -> Result<(), UnwritableError> {
        match format {
            Format::Ndjson => write_json(key, value, out),
            Format::Tsv => write_tsv(key, value, out)?,
            Format::TsvHex => {
                let line = [hex::encode(key), hex::encode(value)].join("\t");
                out.extend_from_slice(line.as_bytes());
            }
        }
        out.push(b'\n');
        Ok(())
    }

    fn read_tsv(line: &[u8]) -> Result<Self, LineError> {
        let tab = line.iter().position(|byte| *byte == b'\t');
        let (key, value) = line.split_at(tab.ok_or(LineError::Tab)?);
        Ok(Self {
            key: Bytes::copy_from_slice(key),
            value: Bytes::copy_from_slice(&value[1..]),
        })
    }

    fn decoded_hex(self) -> Result<Self, LineError> {
        Ok(Self {
            key: decoded("key", &self.key)?,
            value: decoded("value", &self.value)?,
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

fn decoded(what: &'static str, digits: &[u8]) -> Result<Bytes, LineError> {
    let bytes = hex::decode(digits).map_err(|_| LineError::Hex(what))?;
    Ok(bytes.into())
}

/// Returns the bytes of a field of NDJSON, which is given as text or in hex.
fn one_of(
    line: &[u8],
    [name, hex_name]: [&'static str; 2],
    text: Option<String>,
    digits: Option<String>,
) -> Result<Bytes, LineError> {
    match (text, digits) {
        (Some(text), None) => Ok(text.into()),
        (None, Some(digits)) => decoded(hex_name, digits.as_bytes()),
        (None, None) => Err(LineError::Json {
            message: format!("missing field `{name}`"),
            column: line.len(),
        }),
        (Some(_), Some(_)) => Err(LineError::Json {
            message: format!("both `{name}` and `{hex_name}`"),
            column: line.len(),
        }),
    }
}

fn write_json(key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    let (key_text, value_text) = (std::str::from_utf8(key), std::str::from_utf8(value));
    let json = JsonRef {
        key_hex: key_text.is_err().then(|| hex::encode(key)),
        key: key_text.ok(),
        value_hex: value_text.is_err().then(|| hex::encode(value)),
        value: value_text.ok(),
    };
    // Neither strings nor a vector can fail.
    let _ = serde_json::to_writer(out, &json);
}

fn write_tsv(key: &[u8], value: &[u8], out: &mut Vec<u8>) -> Result<(), UnwritableError> {
    if key.contains(&b'\t') || key.contains(&b'\n') || without_mark(key) != Ok(key) {
        return Err(UnwritableError::Key);
    }
    if value.contains(&b'\n') || value.ends_with(b"\r") {
        return Err(UnwritableError::Value);
    }
    out.extend_from_slice(key);
    out.push(b'\t');
    out.extend_from_slice(value);
    Ok(())
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
    fn bytes_that_are_no_text_are_in_hex() {
        let read = json(r#"{"key_hex": "00fF", "value_hex": ""}"#);
        assert_eq!(read, Ok(record(b"\0\xff", b"")));
        assert!(matches!(
            json(r#"{"key": "a", "key_hex": "61", "value": ""}"#),
            Err(LineError::Json { .. })
        ));
        let odd = json(r#"{"key": "a", "value_hex": "0"}"#);
        assert_eq!(odd, Err(LineError::Hex("value_hex")));
        let hex = |line: &[u8]| Record::read(line, Format::TsvHex, usize::MAX);
        assert_eq!(hex(b"6b\t00ff"), Ok(record(b"k", b"\0\xff")));
        assert_eq!(hex(b"6b\tx"), Err(LineError::Hex("value")));
        assert_eq!(hex(b"k\t"), Err(LineError::Hex("key")));
    }

    #[test]
    fn a_line_that_is_written_is_read_back_or_refused() {
        let parts: [&'static [u8]; 12] = [
            b"a",
            b"0xff",
            b"\"\\",
            b"\r",
            b"a\r",
            b"\t",
            b"\n",
            b"a\nb",
            b"\xef\xbb\xbfa",
            b"\xff\xfe",
            b"\0\x80",
            "h\u{e4}\u{2028}".as_bytes(),
        ];
        let mut refused = 0;
        for format in [Format::Ndjson, Format::Tsv, Format::TsvHex] {
            for (key, value) in parts
                .iter()
                .flat_map(|key| parts.map(|value| (*key, value)))
            {
                let mut line = Vec::new();
                if Record::write(key, value, format, &mut line).is_err() {
                    assert_eq!(format, Format::Tsv, "{key:?} {value:?}");
                    refused += 1;
                    continue;
                }
                let line = line.strip_suffix(b"\n").unwrap();
                assert!(!line.contains(&b'\n'));
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                let line = without_mark(line).unwrap();
                assert_eq!(
                    Record::read(line, format, usize::MAX),
                    Ok(record(key, value))
                );
            }
        }
        assert_eq!(refused, 5 * 12 + 7 * 4);
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
