//! A pseudo-terminal, from the user's side.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Stdio};

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// A terminal on which a command runs, from the user's side.
pub(crate) struct Terminal {
    pub(crate) user: File,
    pub(crate) command: Child,
    /// The text that has appeared on it.
    pub(crate) seen: String,
}

impl Terminal {
    /// Runs a command with its input, output and errors on a terminal.
    pub(crate) fn running(mut command: Command) -> Self {
        let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&user).unwrap();
        unlockpt(&user).unwrap();
        let name = ptsname(&user, Vec::new()).unwrap();
        let terminal = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlags::NOCTTY.bits().cast_signed())
            .open(OsStr::from_bytes(name.to_bytes()))
            .unwrap();
        let size = Winsize {
            ws_row: 40,
            ws_col: 120,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&terminal, size).unwrap();
        let command = command
            .stdin(Stdio::from(terminal.try_clone().unwrap()))
            .stdout(Stdio::from(terminal.try_clone().unwrap()))
            .stderr(Stdio::from(terminal))
            .spawn()
            .unwrap();
        // The last of our ends is dropped with `command`. No other process has the terminal, so reading ends when the
        // command does.
        Self {
            user: File::from(user),
            command,
            seen: String::new(),
        }
    }

    /// Reads until this text has appeared on the terminal.
    pub(crate) fn wait_for(&mut self, text: &str) {
        let mut bytes = [0; 4096];
        while !self.seen.contains(text) {
            let count = self.user.read(&mut bytes).expect("the command runs");
            self.seen += &String::from_utf8_lossy(&bytes[..count]);
        }
    }

    /// Reads to the end of the command. Returns the terminal's text, and the exit code.
    pub(crate) fn end(mut self) -> (String, Option<i32>) {
        let mut bytes = [0; 4096];
        // An error says that no process has the terminal any more.
        while let Ok(count) = self.user.read(&mut bytes)
            && count > 0
        {
            self.seen += &String::from_utf8_lossy(&bytes[..count]);
        }
        let ended = self.command.wait().unwrap();
        (self.seen, ended.code())
    }
}
