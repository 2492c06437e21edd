//! Figures of the operating system about this process and its files.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Returns a number after a label in a file of `/proc/self`; 0 if it is missing.
fn number_after(file: &str, label: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix(label))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Returns the bytes that this process made the kernel hand to block devices (a page counts when it is dirtied).
pub(crate) fn written_bytes() -> u64 {
    number_after("/proc/self/io", "write_bytes:")
}

/// Returns the bytes that are resident now.
pub(crate) fn resident_bytes() -> u64 {
    number_after("/proc/self/status", "VmRSS:") * 1024
}

/// Returns the peak of the resident bytes.
pub(crate) fn resident_bytes_peak() -> u64 {
    number_after("/proc/self/status", "VmHWM:") * 1024
}

/// Returns the thread time of the process so far, user and system, seconds. Linux counts it in hundredths.
pub(crate) fn cpu_seconds() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is a name in brackets that may contain spaces; user and system time are the fourteenth and
    // fifteenth.
    let after_name = text.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    ticks as f64 / 100.0
}

/// The memory that another process touches before a measurement, bytes.
const TOUCHED_BYTES: usize = 2 << 30;

/// Lets another process touch memory and give it back. A virtual machine may hand free memory to its host, and getting
/// it back costs up to thirty times as much as clearing it: otherwise the cost of memory that an engine uses for the
/// first time would depend on how long the machine has been idle.
pub(crate) fn warm_memory() -> io::Result<()> {
    let status = Command::new(std::env::current_exe()?)
        .args(["touch", &TOUCHED_BYTES.to_string()])
        .status()?;
    match status.success() {
        true => Ok(()),
        false => Err(io::ErrorKind::OutOfMemory.into()),
    }
}

/// Touches memory, page by page.
pub(crate) fn touch(bytes: usize) {
    const PAGE_BYTES: usize = 4096;
    let mut memory = vec![0_u8; bytes];
    memory
        .chunks_mut(PAGE_BYTES)
        .for_each(|page| page[0] = std::hint::black_box(1));
    std::hint::black_box(memory);
}

/// Waits until this process is nearly idle: compactions and checkpoints are over.
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

/// Returns the bytes allocated to everything below a directory.
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
