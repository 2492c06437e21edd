//! Writes to standard output and standard error, and formats bytes, numbers and times. No other file writes there.
//!
//! | function | writes | if it cannot be written |
//! | --- | --- | --- |
//! | [`print()`], [`print_json`], [`print_raw`], [`print_part`] | the result of a command that does nothing else | the command fails |
//! | [`show`], [`show_json`] | a report on work that is done and kept, or a verdict | the exit code stays; an error is told |
//! | [`show_measured`] | results of a long measurement | they are kept in a temporary file; the exit code stays |
//! | [`tell`] | a line of progress, a warning or an error | nothing happens |
//!
//! A closed reader has read enough, so that is no failure. Text is escaped here, so that text from other sources never
//! reaches a terminal as a control sequence.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use serde_json::Value;
use trunkline::core::record::Root;
use trunkline_load::replace_file;

use crate::error::CommandError;
use crate::input::is_standard;

/// Longest part of a key or value that is shown on a line, in bytes.
const SHOWN_BYTES_MAX: usize = 64;

/// Prints the result of a command as text.
pub(crate) fn print(text: impl AsRef<str>) -> Result<(), CommandError> {
    write_out(escaped(text.as_ref()).as_bytes()).map(drop)
}

/// Prints the result of a command as JSON.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), CommandError> {
    write_out(json_text(value)?.as_bytes()).map(drop)
}

/// Prints bytes as they are. On a terminal, text is escaped and other bytes are refused.
pub(crate) fn print_raw(bytes: &[u8]) -> Result<(), CommandError> {
    match (io::stdout().is_terminal(), std::str::from_utf8(bytes)) {
        (false, _) => write_out(bytes).map(drop),
        (true, Ok(text)) => print(text),
        (true, Err(_)) => Err(CommandError::Binary),
    }
}

/// Prints the result of a command as JSON, or as text.
pub(crate) fn print_either<T: serde::Serialize>(
    is_json: bool,
    json: impl FnOnce() -> T,
    text: impl FnOnce() -> String,
) -> Result<(), CommandError> {
    match is_json {
        true => print_json(&json()),
        false => print(text()),
    }
}

/// Reports finished work as text. The command continues if the report cannot be written.
pub(crate) fn show(text: impl AsRef<str>) {
    told(print(text));
}

/// Reports finished work as JSON. The command continues if the report cannot be written.
pub(crate) fn show_json(value: &impl serde::Serialize) {
    told(print_json(value));
}

/// Reports finished work as JSON or as text. The command continues if the report cannot be written.
pub(crate) fn show_either<T: serde::Serialize>(
    is_json: bool,
    json: impl FnOnce() -> T,
    text: impl FnOnce() -> String,
) {
    told(print_either(is_json, json, text));
}

/// Shows results that took long to measure and are in no other file. If they cannot be written, they are saved in a
/// temporary file.
pub(crate) fn show_measured(text: &str) {
    let Err(error) = print_raw(text.as_bytes()) else {
        return;
    };
    tell_error("warning", &error);
    let mut named = tempfile::Builder::new();
    let file = named.prefix("trunkline-results-").tempfile();
    let kept = file.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        Ok(file.keep()?.1)
    });
    match kept {
        Ok(path) => tell(format!("the results are in {}", path.display())),
        Err(error) => tell(format!(
            "the results cannot be kept in a file either: {error}"
        )),
    }
}

/// Prints one message if a report could not be written.
fn told(written: Result<(), CommandError>) {
    static TOLD: Once = Once::new();
    if let Err(error) = written {
        TOLD.call_once(|| tell_error("warning", &error));
    }
}

/// Writes a line to standard error.
pub(crate) fn tell(line: impl AsRef<str>) {
    tell_text(format!("{}\n", escaped_line(line.as_ref())));
}

/// Writes lines to standard error.
pub(crate) fn tell_text(text: impl AsRef<str>) {
    // If standard error is closed too, there is nobody to tell.
    let _ = io::stderr().write_all(escaped(text.as_ref()).as_bytes());
}

/// Writes an error and its causes to standard error, in one line.
pub(crate) fn tell_error(label: &str, error: &dyn std::error::Error) {
    tell(format!("{label}: {}", trunkline_load::error_chain(error)));
}

/// Prints a part of a long result as it is, as [`print_raw`] does. Returns false if the reader has closed its end.
pub(crate) fn print_part(bytes: &[u8]) -> Result<bool, CommandError> {
    if io::stdout().is_terminal() {
        return print_raw(bytes).map(|()| true);
    }
    write_out(bytes)
}

/// Writes to standard output. Returns whether the reader is still there.
fn write_out(bytes: &[u8]) -> Result<bool, CommandError> {
    let mut output = io::stdout().lock();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true).map_err(CommandError::Output),
    }
}

/// Returns JSON in the form for standard output.
pub(crate) fn json_text(value: &impl serde::Serialize) -> Result<String, CommandError> {
    let text = serde_json::to_string_pretty(value)? + "\n";
    Ok(match io::stdout().is_terminal() {
        true => escaped_json(&text),
        false => text,
    })
}

/// Writes a file, or to standard output if the path is `-`. Returns whether it was a file.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<bool, CommandError> {
    if is_standard(path) {
        return print_raw(bytes).map(|()| false);
    }
    let head = &bytes[..bytes.len().min(head_bytes(bytes))];
    replace_file(path, head, bytes)?;
    Ok(true)
}

/// Returns the number of bytes of a file that identify its kind, so that no file of another kind is replaced: the first
/// words of a text; the format and the first field of other forms.
fn head_bytes(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Ok(_) => 28,
        Err(_) => 2,
    }
}

/// Checks that an output is none of the inputs.
pub(crate) fn check_apart<'a>(
    output: &Path,
    inputs: impl IntoIterator<Item = &'a PathBuf>,
) -> Result<(), CommandError> {
    let real = output.canonicalize().ok();
    let is_output = |input: &&PathBuf| real.is_some() && input.canonicalize().ok() == real;
    match inputs.into_iter().find(is_output) {
        None => Ok(()),
        Some(_) => Err(CommandError::OutputIsInput(output.to_owned())),
    }
}

/// Removes the named fields of a JSON object that are null.
pub(crate) fn without_nulls(mut json: Value, names: &[&str]) -> Value {
    if let Value::Object(fields) = &mut json {
        fields.retain(|name, value| !(value.is_null() && names.contains(&name.as_str())));
    }
    json
}

/// Returns a text, or nothing if a condition holds.
pub(crate) fn unless(condition: bool, text: &str) -> &str {
    if condition { "" } else { text }
}

/// Returns a count with its noun.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{} {noun}s", grouped(count)),
    }
}

/// Returns bytes for a line: quoted text with escaped control characters, or hex. Long ones are cut.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => format!("{:?}", &text[..text.floor_char_boundary(SHOWN_BYTES_MAX)]),
        Err(_) => format!(
            "0x{}",
            hex::encode(&bytes[..bytes.len().min(SHOWN_BYTES_MAX)])
        ),
    };
    match bytes.len() > SHOWN_BYTES_MAX {
        true => format!("{text}… ({} bytes)", grouped(bytes.len() as u64)),
        false => text,
    }
}

/// Returns a whole value for a terminal: unchanged if it is plain text, otherwise in hex.
pub(crate) fn plain_lines(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.chars().all(is_plain) => text.to_owned(),
        _ => format!("0x{}", hex::encode(bytes)),
    }
}

/// Returns foreign text as part of a line, without trailing line ends. Characters that could end the line or control a
/// terminal are escaped.
pub(crate) fn escaped_line(text: &str) -> Cow<'_, str> {
    escaped_unless(text.trim_end_matches('\n'), |character| {
        is_plain(character) && !matches!(character, '\n' | '\t')
    })
}

/// Returns text of several lines. Characters that could control a terminal are escaped.
fn escaped(text: &str) -> Cow<'_, str> {
    escaped_unless(text, is_plain)
}

fn escaped_unless(text: &str, is_kept: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().all(&is_kept) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match is_kept(character) {
            true => safe.push(character),
            false => safe.extend(character.escape_default()),
        }
    }
    Cow::Owned(safe)
}

/// Returns the same JSON with terminal control characters escaped as in JSON. Such characters occur only in strings.
fn escaped_json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match is_plain(character) {
            true => safe.push(character),
            false => safe += &format!("\\u{:04x}", u32::from(character)),
        }
    }
    safe
}

fn is_plain(character: char) -> bool {
    matches!(character, '\n' | '\t') || !(character.is_control() || is_direction_mark(character))
}

/// Returns whether a character changes the direction in which a line is read, or ends it.
fn is_direction_mark(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

/// Returns a number with separated thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns a number of bytes in the largest binary unit that leaves a whole part.
pub(crate) fn byte_size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let power = (bytes.ilog2() / 10).min(4);
    let unit = ["", "KiB", "MiB", "GiB", "TiB"][power as usize];
    format!("{:.1} {unit}", bytes as f64 / 1024f64.powi(power as i32))
}

/// Returns a time in microseconds in a fitting unit, with about three digits.
pub(crate) fn micros(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.2} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}

/// Returns a duration in a fitting unit.
pub(crate) fn duration(duration: Duration) -> String {
    micros(duration.as_micros() as u64)
}

/// Returns a count per second; 0 if no time has passed.
pub(crate) fn rate(count: u64, elapsed: Duration) -> u64 {
    match elapsed.is_zero() {
        true => 0,
        false => (count as f64 / elapsed.as_secs_f64()).round() as u64,
    }
}

/// Returns a root, with one field per line.
pub(crate) fn root_lines(root: &Root) -> String {
    let kzg_root = root.kzg_root.map_or("not computed".to_owned(), hex::encode);
    format!(
        "  version       {}\n  tree id       {}\n  commit id     {}\n  state digest  {}\n  kzg root      {kzg_root}\n",
        root.version,
        hex::encode(root.tree_id),
        hex::encode(root.commit_id),
        hex::encode(root.state_digest),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_deceive_a_terminal_is_escaped() {
        assert_eq!(shown(b"alice"), "\"alice\"");
        assert_eq!(shown("häß".as_bytes()), "\"häß\"");
        assert_eq!(shown(b"\x1b[2J\n\""), r#""\u{1b}[2J\n\"""#);
        assert_eq!(shown("\u{202e}a".as_bytes()), r#""\u{202e}a""#);
        assert_eq!(shown(&[0xff]), "0xff");
        assert_eq!(plain_lines(b"a\n\tb\""), "a\n\tb\"");
        assert_eq!(plain_lines(b"\x1b[2J"), "0x1b5b324a");
        assert_eq!(
            escaped_line("a\x1b[2J\n\t\u{202e}\u{9b}\x7f"),
            r"a\u{1b}[2J\n\t\u{202e}\u{9b}\u{7f}"
        );
        assert_eq!(escaped("a\n\tb\r\u{85}"), "a\n\tb\\r\\u{85}");
        assert!(matches!(escaped("häß\n"), Cow::Borrowed(_)));
        assert_eq!(plain_lines("\u{202e}a".as_bytes()), "0xe280ae61");
    }

    #[test]
    fn escaped_json_is_the_same_json() {
        let value = serde_json::json!({"a\u{9b}": "\u{202e}\x7f\x1b\n ok"});
        let text = serde_json::to_string_pretty(&value).unwrap();
        let safe = escaped_json(&text);
        assert!(safe.chars().all(is_plain), "{safe}");
        assert_eq!(serde_json::from_str::<Value>(&safe).unwrap(), value);
    }

    #[test]
    fn what_is_long_is_cut_and_counted() {
        let long = "é".repeat(1000);
        let expected = format!("\"{}\"… (2,000 bytes)", "é".repeat(32));
        assert_eq!(shown(long.as_bytes()), expected);
        assert!(shown(&[0xff; 65]).ends_with("ff… (65 bytes)"));
    }

    #[test]
    fn numbers_sizes_and_times_are_readable() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(byte_size(1023), "1023 B");
        assert_eq!(byte_size(1536), "1.5 KiB");
        assert_eq!(byte_size(u64::MAX), "16777216.0 TiB");
        assert_eq!(micros(999), "999 µs");
        assert_eq!(micros(1_500), "1.50 ms");
        assert_eq!(micros(2_000_000), "2.00 s");
        assert_eq!(rate(10, Duration::ZERO), 0);
        assert_eq!(rate(10, Duration::from_secs(2)), 5);
    }
}
