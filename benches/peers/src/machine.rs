//! The machine of the measurements.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The facts that a reader needs to judge the figures.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Machine {
    /// The name of the processor.
    pub(crate) processor: String,
    /// The number of usable cores.
    pub(crate) cores: usize,
    /// The memory, bytes.
    pub(crate) memory_bytes: u64,
    /// The version of the kernel.
    pub(crate) kernel: String,
    /// `df` of the directory of the runs: device, size, used, free.
    pub(crate) disk: String,
    /// The date, UTC.
    pub(crate) date: String,
    /// The allocator of every engine in this build.
    pub(crate) allocator: String,
    /// The commit of trunkline, and whether files were changed since.
    pub(crate) trunkline: String,
}

/// Collects the facts about this machine.
pub(crate) fn look_around(directory: &Path) -> Machine {
    Machine {
        processor: value_of("/proc/cpuinfo", "model name"),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        memory_bytes: kilobytes(&value_of("/proc/meminfo", "MemTotal")) * 1024,
        kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")
            .unwrap_or_default()
            .trim()
            .to_owned(),
        disk: disk(directory),
        date: date(),
        allocator: if cfg!(feature = "mimalloc") {
            "mimalloc"
        } else {
            "system"
        }
        .to_owned(),
        trunkline: output_of(
            "git",
            &[
                "-C",
                env!("CARGO_MANIFEST_DIR"),
                "describe",
                "--always",
                "--dirty",
                "--abbrev=12",
            ],
        ),
    }
}

fn value_of(file: &str, label: &str) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines()
        .find(|line| line.starts_with(label))
        .and_then(|line| line.split_once(':'))
        .map_or_else(String::new, |(_, value)| value.trim().to_owned())
}

fn kilobytes(text: &str) -> u64 {
    let number = text.split_whitespace().next();
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn output_of(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let bytes = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

fn disk(directory: &Path) -> String {
    let path = directory.to_string_lossy();
    let lines = output_of("df", &["-h", "--output=fstype,size,used,avail", &path]);
    let fields = lines.lines().last().unwrap_or_default();
    let words: Vec<&str> = fields.split_whitespace().collect();
    match words[..] {
        [kind, size, used, free] => format!("{kind}, {size} ({used} used, {free} free)"),
        _ => "unknown".to_owned(),
    }
}

/// Returns the present date, UTC: days to a civil date as in Hinnant, "chrono-compatible low-level date algorithms"
/// (2021).
fn date() -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    let days = seconds / 86_400 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}
