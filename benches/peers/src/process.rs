//! What the operating system says of this process and of its files.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// A number after a label in a file of `/proc/self`; 0 where there is none.
fn number_after(file: &str, label: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix(label))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Bytes that this process made the kernel hand to block devices (a page counts when it is dirtied).
pub(crate) fn written_bytes() -> u64 {
    number_after("/proc/self/io", "write_bytes:")
}

/// Bytes resident now.
pub(crate) fn resident_bytes() -> u64 {
    number_after("/proc/self/status", "VmRSS:") * 1024
}

/// The most bytes that were resident.
pub(crate) fn resident_bytes_peak() -> u64 {
    number_after("/proc/self/status", "VmHWM:") * 1024
}

/// Thread time of the process so far, user and system, seconds. Linux counts it in hundredths.
pub(crate) fn cpu_seconds() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is a name in brackets that may hold spaces; user and system time are the
    // fourteenth and fifteenth.
    let after_name = text.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    ticks as f64 / 100.0
}

/// Waits until this process does next to nothing: compactions and checkpoints are over.
pub(crate) fn wait_until_idle() {
    const WINDOW: Duration = Duration::from_millis(250);
    const IDLE_SECONDS: f64 = 0.02;
    let give_up_at = Instant::now() + Duration::from_secs(60);
    let mut quiet_windows = 0;
    while quiet_windows < 3 && Instant::now() < give_up_at {
        let before = cpu_seconds();
        std::thread::sleep(WINDOW);
        let is_quiet = cpu_seconds() - before <= IDLE_SECONDS;
        quiet_windows = if is_quiet { quiet_windows + 1 } else { 0 };
    }
}

/// Bytes allocated to everything below a directory.
pub(crate) fn disk_bytes(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
            Ok(metadata) => metadata.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}
