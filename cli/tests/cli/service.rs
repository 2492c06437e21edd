//! `serve` in a process of its own, and requests to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::member::Members;
use crate::support::command;

/// A running service, which is stopped when this is dropped.
pub(crate) struct Service {
    pub(crate) child: Child,
    stderr: BufReader<ChildStderr>,
    pub(crate) address: String,
}

impl Service {
    /// Serves a member from its directory.
    pub(crate) fn member(members: &Members, name: &str, more: &[&str]) -> Self {
        let file = members.text(&format!("{name}.toml"));
        let more: Vec<&str> = ["--member", &file]
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        Self::start(&members.path(name), &more)
    }

    pub(crate) fn start(directory: &Path, more: &[&str]) -> Self {
        let mut child = command()
            .args(["serve", "--set", "server.listen=127.0.0.1:0", "--dir"])
            .arg(directory)
            .args(more)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut service = Self {
            child,
            stderr,
            address: String::new(),
        };
        service.listens();
        service
    }

    /// Waits until the service prints its address. Returns the line.
    pub(crate) fn listens(&mut self) -> String {
        let line = self.line_with("listening on ");
        let (_, address) = line.split_once("listening on ").unwrap();
        self.address = address.trim().to_owned();
        line
    }

    /// Reads its output until a line has this text.
    pub(crate) fn line_with(&mut self, text: &str) -> String {
        let mut said = String::new();
        loop {
            let mut line = String::new();
            let bytes = self.stderr.read_line(&mut line).unwrap();
            assert!(bytes > 0, "it ended without saying {text:?}: {said}");
            if line.contains(text) {
                return line;
            }
            said += &line;
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    /// Waits for its end, and returns the exit code and the last output.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }

    pub(crate) fn send(&self, head: &str, body: &str) -> Answer {
        self.send_with(head, "", body)
    }

    pub(crate) fn send_with(&self, head: &str, headers: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        let text = format!(
            "{head} HTTP/1.1\r\nhost: {}{headers}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}",
            self.address
        );
        stream.write_all(text.as_bytes()).unwrap();
        Answer(stream)
    }

    /// Returns what a request without a body is answered with.
    pub(crate) fn text(&self, head: &str) -> String {
        let (mut answer, mut text) = (self.send(head, "").0, String::new());
        answer.read_to_string(&mut text).unwrap();
        text
    }

    pub(crate) fn put(&self, key: &str, value: &str) -> (u16, Value) {
        let body = format!(r#"{{"operations": [{{"key": "{key}", "value": "{value}"}}]}}"#);
        self.send("POST /v1/submit", &body).read()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// An answer that may be still to come.
pub(crate) struct Answer(TcpStream);

impl Answer {
    pub(crate) fn read(mut self) -> (u16, Value) {
        let mut text = String::new();
        self.0.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }
}
