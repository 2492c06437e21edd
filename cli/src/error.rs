//! Errors of commands, each printed as one line.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use trunkline::core::params::VALUE_BYTES_MAX;
use trunkline::core::proof::ProofFormError;
use trunkline::core::wire::FormError;
use trunkline::{
    ConfigError, EngineFailure, HistoryError, OpenError, ReadDecisionsError, ReadError,
    RepairError, RevertError, SnapshotProveError, SubmitError,
};
use trunkline_archive::{AccessError, BackupError, LocationError, RestoreError, VerifyError};
use trunkline_load::compare::{CompareError, RecordError};
use trunkline_replication::nats::NatsError;
use trunkline_replication::{
    FollowingFailure, LevelError, PrimaryFailure, PromoteError, RejoinError, StartError,
    StreamError,
};

use crate::arguments::ArgumentError;
use crate::import::{LineError, UNENDED_BYTES_MAX, UnwritableError};
use crate::tui::ScreenError;

/// Unusable input, directory or configuration: exit code 2.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("cannot open {}", directory.display())]
    Open {
        directory: PathBuf,
        source: Box<OpenError>,
    },
    #[error("the repair is not finished")]
    Repair(#[source] Box<RepairError>),
    #[error(transparent)]
    Decisions(#[from] ReadDecisionsError),
    #[error("directory {} does not exist; check the path", .0.display())]
    Missing(PathBuf),
    #[error("the batch was not accepted")]
    Submit(#[from] SubmitError),
    #[error("the state was not restored")]
    Revert(#[from] RevertError),
    #[error(transparent)]
    Engine(#[from] EngineFailure),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("no proof was made")]
    Prove(#[from] SnapshotProveError),
    #[error(transparent)]
    Snapshot(#[from] trunkline::SnapshotError),
    #[error(transparent)]
    Past(#[from] trunkline::PastError),
    #[error("no proof was made")]
    History(#[from] HistoryError),
    #[error("the proof cannot be written")]
    ProofForm(#[from] ProofFormError),
    #[error("the proof cannot be written")]
    Form(#[from] FormError),
    #[error(
        "--root does not identify the tree: the author of a proof chooses its nonce and salt, and under another salt any key is absent; name the tree by --tree-id (`trunkline inspect` prints it), or trust a commit id by --commit-id"
    )]
    RootOfNoTree,
    #[error("{} is not {what}", file.display())]
    Content {
        file: PathBuf,
        what: &'static str,
        source: Box<dyn Error + Send + Sync>,
    },
    #[error("the value from standard input is longer than {VALUE_BYTES_MAX} bytes; shorten it")]
    ValueTooLong,
    #[error("the value cannot be read")]
    Value(#[from] ArgumentError),
    #[error("{}:{line}: {error}; reading stopped at this line, {records} records before it are stored", file.display())]
    Strict {
        file: PathBuf,
        line: u64,
        error: LineError,
        records: u64,
    },
    #[error("{}: line {line} has no end after {UNENDED_BYTES_MAX} bytes, so this is not a file with one record per line; {records} records before it are stored", file.display())]
    EndlessLine {
        file: PathBuf,
        line: u64,
        records: u64,
    },
    #[error("the record of key {key} cannot be written as TSV; use --format ndjson or tsv-hex")]
    Unwritable {
        key: String,
        source: UnwritableError,
    },
    #[error("{}: none of the {lines} lines is a record; the first problem is: {first}; check --format", file.display())]
    NoRecords {
        file: PathBuf,
        lines: u64,
        first: LineError,
    },
    #[error("cannot {action} {}", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Screen(#[from] ScreenError),
    #[error("more than {max} combinations of settings; vary fewer settings or fewer values")]
    TooManyCombinations { max: usize },
    #[error("{0} is varied twice; give all its values at once")]
    VariedTwice(String),
    #[error(
        "{0} cannot be used with sweep, which finds the rates itself: use --shares, or compare settings at one rate with tune --rate"
    )]
    SweptRate(&'static str),
    #[error("{0} runs were named; name one, or add --merge to report on all of them as one")]
    SeveralRuns(usize),
    #[error("the runs cannot be merged")]
    Merge(#[from] trunkline_load::MergeError),
    #[error("the service cannot be used")]
    Service(#[from] crate::load::ServiceError),
    #[error("cannot write JUnit XML")]
    Junit(#[from] quick_junit::SerializeError),
    #[error("the runs cannot be compared")]
    Compare(#[from] CompareError),
    #[error("{0}; use --force to compare them anyway")]
    Unlike(String),
    #[error("cannot make a temporary directory; name one with --dir")]
    Temporary(#[source] io::Error),
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    #[error("{} would be written, but it is read too; choose another path", .0.display())]
    OutputIsInput(PathBuf),
    #[error("{} would be written twice; choose another path for one of the outputs", .0.display())]
    OutputTwice(PathBuf),
    #[error(transparent)]
    OutputFile(#[from] trunkline_load::FileError),
    #[error(
        "this is binary and standard output is a terminal; name a file, or redirect the output"
    )]
    Binary,
    #[error("cannot write JSON")]
    Json(#[from] serde_json::Error),
    #[error("cannot read the configuration as TOML")]
    Toml(#[from] toml_edit::TomlError),
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    #[error("cannot listen for signals")]
    Interrupts(#[source] io::Error),
    #[error("the service cannot run")]
    Serve(#[source] Box<dyn Error + Send + Sync>),
    #[error("the service has stopped: {0}")]
    Stopped(String),
    #[error(transparent)]
    Plan(#[from] trunkline_load::PlanError),
    #[error(transparent)]
    InvalidPlan(#[from] trunkline_load::InvalidPlan),
    #[error(transparent)]
    Load(#[from] trunkline_load::LoadError),
    #[error("the run failed; its figures cover the time before the failure")]
    BrokenOff(#[source] Box<trunkline_load::LoadError>),
    #[error("{} is a replay of {trace:?} and has no plan; use --replay instead", file.display())]
    Replayed { file: PathBuf, trace: String },
    #[error("name the directory to back up and the archive: --dir and --to")]
    NoBackup,
    #[error(transparent)]
    Location(#[from] LocationError),
    #[error("the backup failed; what it has written is kept, and the next one continues with it")]
    Backup(#[from] BackupError),
    #[error("nothing was restored")]
    Restore(#[from] RestoreError),
    #[error("the archive cannot be read")]
    Archive(#[from] AccessError),
    #[error("the archive was not verified")]
    Verify(#[from] VerifyError),
    #[error("the servers do not answer as expected")]
    Carrier(#[from] NatsError),
    #[error("this member cannot be the primary")]
    Lead(#[from] StartError),
    #[error("the versions are durable here but not acknowledged")]
    Level(#[from] LevelError),
    #[error("this member cannot follow")]
    Follow(#[from] StreamError),
    #[error("the replica has stopped")]
    Following(#[source] Arc<FollowingFailure>),
    #[error("the replica was not promoted")]
    Promote(#[from] PromoteError),
    #[error("the primary has stopped")]
    Replaced(#[source] PrimaryFailure),
    #[error("the directory has not rejoined")]
    Rejoin(#[source] Box<RejoinError>),
    #[error("{} holds no replica; to create one, name the nonce of the primary's tree by --nonce, or an archive that is not empty in the member file", .0.display())]
    NoReplica(PathBuf),
    #[error(transparent)]
    RunFile(#[from] trunkline_load::RunFileError),
}

impl CommandError {
    pub(crate) fn serving(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Serve(Box::new(error))
    }

    /// Returns a function that turns an I/O error at a path into an error of the command.
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_follow_in_one_line() {
        let source = io::Error::other("first\nsecond");
        let error = CommandError::file("read", "a.txt")(source);
        assert_eq!(
            trunkline_load::error_chain(&error),
            "cannot read a.txt: first second"
        );
    }
}
