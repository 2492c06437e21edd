use std::io::Write;

use rustix::termios::{LocalModes, tcgetattr};

use crate::support::{Workplace, command, run};
use crate::terminal::Terminal;

#[test]
fn without_a_terminal_nothing_is_begun() {
    let workplace = Workplace::new();
    let directory = workplace.text("state");
    run(["load", "--tui", "--dir", &directory]).unusable("--tui needs a terminal");
    assert!(!workplace.path("state").exists());
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
    let mut command = command();
    command.args(load);
    let mut running = Terminal::running(command);
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
