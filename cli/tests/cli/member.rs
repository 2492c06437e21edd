//! Members of a replicated tree, over a real NATS server, failed over by hand as an operator would.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;
use trunkline_testkit::nats::Cluster;
use trunkline_testkit::patience::HANGS_AFTER;

use crate::support::{Ran, command, run};

/// Starts a server on loopback, and waits until it listens.
fn server() -> Cluster {
    let cluster = Cluster::start(1);
    let urls = cluster.urls();
    let address = urls[0].trim_start_matches("nats://");
    let began = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(began.elapsed() < HANGS_AFTER, "the server does not listen");
        std::thread::yield_now();
    }
    cluster
}

/// Two members of a tree, `a` and `b`.
pub(crate) struct Members {
    directory: TempDir,
    server: Cluster,
}

impl Members {
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// Returns members whose files have additional lines.
    pub(crate) fn with(lines: &str) -> Self {
        let members = Self {
            directory: tempfile::tempdir().unwrap(),
            server: server(),
        };
        let keys = ["a", "b"].map(|name| {
            let made = run(["keygen", "--out", &members.text(&format!("{name}.key"))]);
            format!("{:?}", made.done().stdout.trim())
        });
        for name in ["a", "b"] {
            let url = &members.server.urls()[0];
            let text = format!(
                "name = \"{name}\"\nmembers = [\"a\", \"b\"]\nkey_file = \"{name}.key\"\n\
                 public_keys = [{}]\nmemory_file = \"{name}.memory\"\nreplicas = 1\n\
                 servers = [\"{url}\"]\nstream = \"accounts\"\n\
                 acknowledge = \"replicated\"\nacknowledge_timeout_ms = 60_000\n{lines}",
                keys.join(", ")
            );
            std::fs::write(members.path(&format!("{name}.toml")), text).unwrap();
        }
        members
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Runs a command of a member.
    pub(crate) fn run(&self, name: &str, arguments: &[&str]) -> Ran {
        let (directory, member) = (self.text(name), self.text(&format!("{name}.toml")));
        let common = ["--dir", &directory, "--member", &member];
        run(arguments.iter().chain(&common))
    }

    /// Stores records as the primary.
    pub(crate) fn write(&self, name: &str, records: &str) -> Ran {
        std::fs::write(self.path("records"), records).unwrap();
        self.run(name, &["primary", &self.text("records")])
    }
}

/// Returns records that barely compress.
fn large_records(count: u64) -> String {
    let mut random = SmallRng::seed_from_u64(9);
    let mut value = || -> String {
        let words = (0..60).map(|_| format!("{:016x}", random.random::<u64>()));
        words.collect()
    };
    (0..count)
        .map(|key| record(&format!("large {key}"), &value()))
        .collect()
}

fn get(directory: &Path, key: &str) -> Ran {
    run(["get", key, "--dir", directory.to_str().unwrap()])
}

fn record(key: &str, value: &str) -> String {
    format!("{{\"key\": \"{key}\", \"value\": \"{value}\"}}\n")
}

#[test]
fn a_replica_takes_over_and_the_old_primary_rejoins_behind_it() {
    let members = Members::new();
    let written = members.write("a", &record("alice", "10")).done().stdout;
    assert!(written.ends_with("version 1 is replicated\n"), "{written}");

    let inspected = run(["inspect", "--dir", &members.text("a"), "--json"])
        .done()
        .json();
    let nonce = inspected["nonce"]
        .as_str()
        .expect("a tree has a nonce")
        .to_owned();
    members
        .run("b", &["replica", "--until", "1"])
        .unusable("holds no replica");
    let followed = members.run("b", &["replica", "--until", "1", "--nonce", &nonce]);
    let followed = followed.done().stdout;
    assert!(
        followed.contains("version 1 synced, 0 behind, epoch 1"),
        "{followed}"
    );
    assert_eq!(get(&members.path("b"), "alice").done().stdout, "10");

    // A directory that was written to without the stream has a surplus.
    run(["put", "bob", "7", "--dir", &members.text("a")]).done();
    let promoted = members.run("b", &["promote"]).done().stdout;
    assert!(promoted.contains("begins behind version 1"), "{promoted}");
    let written = members.write("b", &record("carol", "5")).done().stdout;
    assert!(written.ends_with("version 2 is replicated\n"), "{written}");

    members
        .write("a", &record("dave", "1"))
        .unusable("cannot be the primary");
    let surplus = members.text("surplus");
    let rejoined = members
        .run("a", &["rejoin", "--surplus", &surplus])
        .done()
        .stdout;
    assert!(
        rejoined.starts_with("back at version 1\nversions 2 to 2 are in "),
        "{rejoined}"
    );
    assert!(std::fs::metadata(&surplus).unwrap().len() > 100);
    members.run("a", &["replica", "--until", "2"]).done();
    assert_eq!(get(&members.path("a"), "carol").done().stdout, "5");
    assert_eq!(get(&members.path("a"), "bob").code, 1);
}

#[test]
fn a_replica_reads_from_the_archive_what_the_stream_no_longer_has() {
    let members = Members::with("archive = \"archive\"\nstream_bytes_max = 3_000_000\n");
    let first = members.write("a", &record("alice", "10")).done();
    assert!(
        first.stderr.contains("version 1 is archived"),
        "{}",
        first.stderr
    );
    // The archive identifies the tree.
    members.run("b", &["replica", "--until", "1"]).done();

    members.write("a", &large_records(6000)).done();
    members.write("a", &record("bob", "7")).done();
    let inspected = run(["inspect", "--dir", &members.text("a"), "--json"]);
    let version = inspected.done().json()["version"].to_string();
    let until = ["replica", "--until", &version];

    let member = std::fs::read_to_string(members.path("b.toml")).unwrap();
    let without = member.replace("archive = \"archive\"\n", "");
    std::fs::write(members.path("b.toml"), without).unwrap();
    members
        .run("b", &until)
        .unusable("the stream begins after version");
    std::fs::write(members.path("b.toml"), member).unwrap();
    members.run("b", &until).done();
    for (key, value) in [("alice", "10"), ("bob", "7")] {
        assert_eq!(get(&members.path("b"), key).done().stdout, value);
    }

    std::fs::remove_dir_all(members.path("b")).unwrap();
    // It may not have been written yet.
    drop(std::fs::remove_file(members.path("b.memory")));
    let restored = members.run("b", &until).done();
    assert!(
        restored.stderr.contains("restored version"),
        "{}",
        restored.stderr
    );
    assert_eq!(get(&members.path("b"), "bob").done().stdout, "7");
}

#[test]
fn a_replica_promotes_itself_when_its_primary_is_silent() {
    let members = Members::with("archive = \"archive\"\n");
    members.write("a", &record("alice", "10")).done();
    let mut replica = command()
        .args(["replica", "--promote-after-silence-ms", "1500", "--dir"])
        .args([members.path("b"), "--member".into(), members.path("b.toml")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(replica.stdout.take().expect("it is piped"));
    let mut promoted = output.lines().map(Result::unwrap);
    let promoted = promoted.find(|line| line.starts_with("promoted"));
    assert_eq!(
        promoted.as_deref(),
        Some("promoted: epoch 2 begins behind version 1")
    );
    members
        .write("a", &record("bob", "7"))
        .unusable("cannot be the primary");
    let process = rustix::process::Pid::from_child(&replica);
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    assert_eq!(replica.wait().unwrap().code(), Some(130));
    members.write("b", &record("carol", "5")).done();
}

#[test]
fn a_member_file_with_a_mistake_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let key = run(["keygen", "--out", &path("key")]).done().stdout;
    run(["keygen", "--out", &path("key")]).unusable("cannot write");
    let file = |change: &dyn Fn(&str) -> String| {
        let text = format!(
            "name = \"a\"\nmembers = [\"a\"]\nkey_file = \"key\"\npublic_keys = [\"{}\"]\n\
             memory_file = \"memory\"\nservers = [\"nats://127.0.0.1:1\"]\nstream = \"accounts\"\n",
            key.trim()
        );
        std::fs::write(path("member.toml"), change(&text)).unwrap();
        let member = path("member.toml");
        run(["promote", "--dir", &path("tree"), "--member", &member])
    };
    file(&|text| text.replace("stream", "streams")).unusable("unknown field `streams`");
    file(&|text| text.replace("\"key\"", "\"nothing\"")).unusable("nothing");
    file(&|text| text.replace(key.trim(), "00")).unusable("is not a public key");
    file(&|text| text.to_owned() + "archive = \"s3://key:secret@bucket\"\n").unusable("archive:");
    file(&|text| text.to_owned() + "acknowledge = \"all\"\n").unusable("a level is `durable`");
    file(&str::to_owned).unusable("do not answer");
}

#[test]
fn a_replica_ends_in_order_when_it_is_interrupted() {
    let members = Members::new();
    members.write("a", &record("alice", "10")).done();
    let inspected = run(["inspect", "--dir", &members.text("a"), "--json"])
        .done()
        .json();
    let nonce = inspected["nonce"]
        .as_str()
        .expect("a tree has a nonce")
        .to_owned();
    members
        .run("b", &["replica", "--until", "1", "--nonce", &nonce])
        .done();
    let mut replica = command()
        .args([
            "replica",
            "--dir",
            &members.text("b"),
            "--member",
            &members.text("b.toml"),
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0];
    let output = replica.stdout.as_mut().expect("it is piped");
    output.read_exact(&mut first).unwrap();
    let process = rustix::process::Pid::from_child(&replica);
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    assert_eq!(replica.wait().unwrap().code(), Some(130));
}
