//! The unit file, and messages to the service manager.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::Files;

fn unit() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/trunkline.service");
    fs::read_to_string(path).unwrap()
}

/// Runs `systemd-analyze` on the unit, with an existing program in place of ours. Returns `None` if the machine has no
/// systemd.
fn analyze(arguments: &[&str]) -> Option<Output> {
    let files = Files::new();
    let program = "ExecStart=/usr/bin/trunkline ";
    assert!(unit().contains(program));
    let text = unit().replace(program, "ExecStart=/bin/true ");
    let path = files.write("trunkline.service", &text);
    let analyzed = Command::new("systemd-analyze")
        .args(arguments)
        .arg(path)
        .output();
    if analyzed.is_err() {
        println!("skipped: this machine has no systemd-analyze");
    }
    analyzed.ok()
}

#[test]
fn systemd_accepts_the_unit() {
    let Some(output) = analyze(&["verify"]) else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    // Warnings leave the exit code at 0.
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn the_unit_is_exposed_little() {
    // The threshold in tenths, on a scale to 10. Above it, the check fails.
    let arguments = ["security", "--offline=true", "--no-pager", "--threshold=20"];
    let Some(output) = analyze(&arguments) else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}");
}

#[test]
fn the_service_has_longer_to_stop_than_requests_have_to_end() {
    let unit = unit();
    let line = unit
        .lines()
        .find_map(|line| line.strip_prefix("TimeoutStopSec="));
    let seconds: u64 = line.unwrap().parse().unwrap();
    let drain_ms = trunkline::config::ServerConfig::default().drain_ms;
    assert!(seconds * 1000 > 2 * drain_ms);
}

/// Sends all messages to systemd, as a process of the test below.
#[test]
#[ignore = "a process of another test"]
fn tell_in_a_process() {
    use trunkline_service::systemd;
    systemd::ready("serving");
    systemd::reloading();
    systemd::status("fine");
    systemd::stopping("draining");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.unwrap().block_on(systemd::feed_watchdog(|| true));
}

#[test]
fn the_service_manager_hears_of_each_step() {
    let files = Files::new();
    let socket = UnixDatagram::bind(files.path("notify")).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "systemd::tell_in_a_process", "--ignored"])
        .env("NOTIFY_SOCKET", files.path("notify"))
        .env("WATCHDOG_USEC", "20000")
        .spawn()
        .unwrap();
    let hear = || {
        let mut bytes = [0; 256];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    assert_eq!(hear(), "READY=1\nSTATUS=serving\n");
    assert!(hear().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(hear(), "STATUS=fine\n");
    assert_eq!(hear(), "STOPPING=1\nSTATUS=draining\n");
    for _ in 0..3 {
        assert_eq!(hear(), "WATCHDOG=1\n");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
