use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Stdio};

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::support::{Workplace, command, run};

#[test]
fn without_a_terminal_nothing_is_begun() {
    let workplace = Workplace::new();
    let directory = workplace.text("state");
    run(["load", "--tui", "--dir", &directory]).unusable("--tui needs a terminal");
    assert!(!workplace.path("state").exists());
}

/// A terminal that a command runs on, seen from where its user sits.
struct Terminal {
    user: File,
    command: Child,
    /// What was on it.
    seen: String,
}

impl Terminal {
    fn running(arguments: &[&str]) -> Self {
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
        let command = command()
            .args(arguments)
            .stdin(Stdio::from(terminal.try_clone().unwrap()))
            .stdout(Stdio::from(terminal))
            .spawn()
            .unwrap();
        // Nobody else has the terminal: when the command ends, so does reading.
        Self {
            user: File::from(user),
            command,
            seen: String::new(),
        }
    }

    /// Reads on until this was on the terminal.
    fn wait_for(&mut self, text: &str) {
        let mut bytes = [0; 4096];
        while !self.seen.contains(text) {
            let count = self.user.read(&mut bytes).expect("the command runs");
            self.seen += &String::from_utf8_lossy(&bytes[..count]);
        }
    }
}

#[test]
fn on_a_terminal_it_is_drawn_until_q_is_pressed_and_the_terminal_given_back() {
    const TAKEN: &str = "\x1b[?1049h";
    const GIVEN_BACK: &str = "\x1b[?1049l";
    let load = [
        "load",
        "--tui",
        "--keys",
        "300",
        "--batch",
        "50",
        "--closed",
        "--duration",
        "60",
    ];
    let mut running = Terminal::running(&load);
    for drawn in [TAKEN, "operations/s", "persist"] {
        running.wait_for(drawn);
    }
    assert!(!running.seen.contains(GIVEN_BACK));
    running.user.write_all(b"q").unwrap();
    running.wait_for("interrupted: nothing was checked");
    let after = running.seen.split(GIVEN_BACK).nth(1).unwrap();
    assert!(after.contains("last root"), "{after}");
    let ended = running.command.wait().unwrap();
    assert_eq!(ended.code(), Some(130));
    // Lines are edited again, as before.
    let modes = tcgetattr(&running.user).unwrap().local_modes;
    assert!(modes.contains(LocalModes::ICANON));
}
