//! Standard output, and how bytes, numbers and times look in it.

use std::io::{self, Write};
use std::time::Duration;

use trunkline::core::record::Root;

use crate::error::CommandError;

/// Longest part of a key or value that is shown in a line, bytes.
const SHOWN_BYTES_MAX: usize = 64;

/// Writes to standard output. A reader that has gone is none of our business.
pub(crate) fn print(bytes: impl AsRef<[u8]>) -> Result<(), CommandError> {
    let mut output = io::stdout().lock();
    match output
        .write_all(bytes.as_ref())
        .and_then(|()| output.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CommandError::Output(error)),
        _ => Ok(()),
    }
}

/// Writes a value as JSON.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), CommandError> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    print(text)
}

/// Bytes for a line: text in quotes with what a terminal would act upon escaped, anything else in
/// hex, cut if long.
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

/// A whole value for a terminal: text as it is, if the terminal only prints it; else in hex.
pub(crate) fn plain_lines(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.chars().all(is_plain) => text.to_owned(),
        _ => format!("0x{}", hex::encode(bytes)),
    }
}

/// Text of others for a line: what a terminal would act upon, or that ends the line, is left out.
pub(crate) fn printable(text: &str) -> String {
    let kept = text
        .chars()
        .filter(|character| !matches!(character, '\n' | '\t') && is_plain(*character));
    kept.collect()
}

fn is_plain(character: char) -> bool {
    matches!(character, '\n' | '\t') || !(character.is_control() || is_direction_mark(character))
}

/// Characters that make a line read as something else.
fn is_direction_mark(character: char) -> bool {
    matches!(character, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in the largest binary unit that leaves a whole part.
pub(crate) fn byte_size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// A duration in microseconds, with three digits or so.
pub(crate) fn micros(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.2} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}

/// The same of a duration.
pub(crate) fn duration(duration: Duration) -> String {
    micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

/// Things a second; 0 if no time has passed.
pub(crate) fn rate(count: u64, elapsed: Duration) -> u64 {
    let per_second = count as f64 / elapsed.as_secs_f64();
    if per_second.is_finite() {
        per_second.round() as u64
    } else {
        0
    }
}

/// A root, one part a line.
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
        assert_eq!(printable("a\x1b[2J\n\u{202e}b"), "a[2Jb");
        assert_eq!(plain_lines("\u{202e}a".as_bytes()), "0xe280ae61");
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
