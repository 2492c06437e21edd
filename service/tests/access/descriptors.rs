//! A process without descriptors left.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{hello, loopback, patient, start};

const REFUSED: &str = "no connection can be accepted now";

/// Serves until its input ends. Run by the test below, with a limit on descriptors.
#[test]
#[ignore = "a process of another test"]
fn serve_in_a_process() {
    tracing_subscriber::fmt()
        .with_writer(std::io::stdout)
        .init();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let running = start(&loopback(), hello(), patient());
        println!("\naddress {}", running.address);
        let until_end = || std::io::stdin().read_to_end(&mut Vec::new());
        tokio::task::spawn_blocking(until_end)
            .await
            .unwrap()
            .unwrap();
    });
}

#[test]
fn accepting_waits_while_there_are_no_descriptors_and_works_again_afterwards() {
    let own = std::env::current_exe().unwrap();
    let test = "descriptors::serve_in_a_process";
    let run = format!("ulimit -n 48 && exec \"$0\" --exact {test} --ignored --nocapture");
    let mut child = Command::new("sh")
        .args(["-c", &run])
        .arg(own)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut line_with = |text: &str| {
        let line = lines
            .by_ref()
            .map(Result::unwrap)
            .find(|line| line.contains(text));
        line.expect("the process ended")
    };
    let line = line_with("address ");
    let address = line.split_once("address ").unwrap().1.to_owned();

    let begun = Instant::now();
    let connect = || TcpStream::connect(&address).unwrap();
    let held: Vec<TcpStream> = (0..100).map(|_| connect()).collect();
    (0..5).for_each(|_| drop(line_with(REFUSED)));
    assert!(
        begun.elapsed() >= Duration::from_millis(4 * 180),
        "it spins"
    );

    drop(held);
    let mut stream = connect();
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("hello"), "{answer}");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}
