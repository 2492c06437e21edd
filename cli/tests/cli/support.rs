//! Runs the command and checks its results.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;

use serde_json::Value;
use tempfile::TempDir;
use trunkline::core::record::Root;
use trunkline::{Batch, Config, Engine, ReadOnly, Snapshot, TopKind};

/// The result of one run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("no signal ended it"),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    /// Checks that the command did what it was asked to.
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    /// Checks that the command failed, with one line that begins with `error: ` and contains `says`.
    #[track_caller]
    pub(crate) fn unusable(self, says: &str) {
        assert_eq!(self.code, 2, "{self:?}");
        let last = self.stderr.lines().last().unwrap_or_default();
        assert!(
            last.starts_with("error: ") && last.contains(says),
            "{self:?}"
        );
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).expect("JSON was asked for")
    }
}

/// Returns the command, without the settings of the user who runs the tests.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TRUNKLINE_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

pub(crate) fn run<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Ran {
    let output = command().args(arguments).output();
    output.expect("the command can be run").into()
}

/// Runs the command with some standard input.
pub(crate) fn run_with_input<A: AsRef<OsStr>>(
    arguments: impl IntoIterator<Item = A>,
    input: &[u8],
) -> Ran {
    let mut child = command()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command can be run");
    let mut stdin = child.stdin.take().expect("it was piped");
    stdin.write_all(input).expect("the command reads");
    drop(stdin);
    child.wait_with_output().expect("it ends").into()
}

/// A directory for the files of a test.
pub(crate) struct Workplace(TempDir);

impl Workplace {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory can be made"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        let path = self.path(name);
        path.to_str().expect("temporary paths are UTF-8").to_owned()
    }

    /// Returns a workplace with a directory `state` that holds three keys.
    pub(crate) fn with_three_keys() -> Self {
        let workplace = Self::new();
        let config = Config::in_directory(workplace.path("state"));
        let engine = Engine::open_blocking(config).expect("a new engine can be opened");
        let mut batch = Batch::new();
        batch.put("alice", "10").put("bob", "7").put("carol", "");
        engine.submit_blocking(batch).expect("it is accepted");
        engine.shutdown_blocking().expect("it becomes durable");
        workplace
    }

    /// Returns the last root of the directory `state`, which a user would trust.
    pub(crate) fn root(&self) -> Root {
        self.snapshot().root()
    }

    /// Makes a file with a proof of one present and one absent key.
    pub(crate) fn proof(&self, top: TopKind) -> String {
        let proof = self.snapshot().prove([&b"alice"[..], &[0, 0xff]], top);
        let bytes = proof.expect("the keys are fine").encode();
        let file = self.text(&format!("{top:?}"));
        std::fs::write(&file, bytes.expect("it is small")).expect("it can be written");
        file
    }

    fn snapshot(&self) -> Snapshot {
        let state = ReadOnly::open(&self.path("state"));
        state.expect("nobody else has it").snapshot()
    }
}

/// The entry at a path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Directory,
    Small(Vec<u8>),
    /// The content is not read: the journal of an empty fjall store has 64 MiB of zeros.
    Large {
        bytes: u64,
        modified: SystemTime,
    },
}

/// Returns everything below a directory.
pub(crate) fn contents(directory: &Path) -> BTreeMap<PathBuf, Found> {
    const SMALL_BYTES_MAX: u64 = 1 << 20;
    let mut found = BTreeMap::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).expect("it can be read") {
            let path = entry.expect("it can be read").path();
            let metadata = path.metadata().expect("it is there");
            let what = if metadata.is_dir() {
                directories.push(path.clone());
                Found::Directory
            } else if metadata.len() <= SMALL_BYTES_MAX {
                Found::Small(std::fs::read(&path).expect("it can be read"))
            } else {
                Found::Large {
                    bytes: metadata.len(),
                    modified: metadata.modified().expect("files have times"),
                }
            };
            found.insert(path, what);
        }
    }
    found
}
