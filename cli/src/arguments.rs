//! The subcommands, the flags that several of them share, and the parsers of keys and digests. The doc comments are the
//! help texts.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use trunkline::TopKind;
use trunkline::core::params::KEY_BYTES_MAX;
use trunkline::core::proof::Expected;
use trunkline_load::{Arrivals, Distribution, Pacing, ProofTop, Workload};

use crate::audit::AuditCommand;
use crate::backup::BackupArguments;
use crate::check::CheckArguments;
use crate::compare::CompareArguments;
use crate::configuration::ConfigCommand;
use crate::evidence::EvidenceCommand;
use crate::export::ExportArguments;
use crate::history::HistoryCommand;
use crate::import::ImportArguments;
use crate::inspect::InspectArguments;
use crate::load::LoadArguments;
use crate::member::{
    KeygenArguments, PrimaryArguments, PromoteArguments, RejoinArguments, ReplicaArguments,
};
use crate::prove::ProveArguments;
use crate::range::RangeArguments;
use crate::report::ReportArguments;
use crate::restore::RestoreArguments;
use crate::revert::RevertArguments;
use crate::serve::ServeArguments;
use crate::show::ProofCommand;
use crate::single::{DeleteArguments, GetArguments, PutArguments};
use crate::sweep::SweepArguments;
use crate::token::TokenArguments;
use crate::tune::TuneArguments;
use crate::verify::VerifyArguments;
use crate::versions::VersionsArguments;

/// Commit engine for authenticated key-value state: load tests, imports, proofs, inspection.
#[derive(Debug, Parser)]
#[command(name = "trunkline", version, propagate_version = true)]
#[command(
    after_help = "Exit codes: 0 done or proven, 1 a check failed or was refused, 2 unusable input, 3 consistent but nothing was trusted, 4 a threshold does not hold, 130 interrupted."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a workload against an engine, report on it, and prove and verify a sample of the keys.
    Load(Box<LoadArguments>),
    /// Report whether two runs, or two sides of several runs, differ.
    Compare(CompareArguments),
    /// Show the results of a run as text, or as a page with plots.
    Report(ReportArguments),
    /// Run a workload under every combination of some settings, and find the rate beyond which latency grows faster than
    /// throughput.
    Sweep(SweepArguments),
    /// Find the settings that suit a workload, key by key, and write them to a configuration file with the measurements.
    Tune(TuneArguments),
    /// Store the records of a file in a directory.
    Import(ImportArguments),
    /// Write all keys and values of a version as `import` reads them, in path order (that of the key hashes).
    Export(ExportArguments),
    /// Write the keys of a range in byte order with their values. Needs a directory with store.key_order = true.
    Range(RangeArguments),
    /// Back a directory up into an archive: in an object store, or in another directory.
    Backup(BackupArguments),
    /// Restore a version from an archive into a new directory.
    Restore(RestoreArguments),
    /// Serve a state over gRPC and HTTP, alone or as a member of a replicated tree.
    Serve(ServeArguments),
    /// Make a bearer token for callers of a service, and print it once.
    Token(TokenArguments),
    /// Make a key that a member of a replicated tree signs with, and print its public half.
    Keygen(KeygenArguments),
    /// Store the records of a file, as `import` does, and publish every version over NATS.
    Primary(PrimaryArguments),
    /// Follow a primary over NATS, and print the replica's position every second.
    Replica(ReplicaArguments),
    /// Promote a replica to primary, and fence the old primary.
    Promote(PromoteArguments),
    /// Bring the directory of a fenced primary back to the stream's history, as a replica.
    Rejoin(RejoinArguments),
    /// Print the value of a key. Exit code 1 if it is absent.
    #[command(disable_version_flag = true)]
    Get(GetArguments),
    /// Set the value of a key.
    Put(PutArguments),
    /// Remove a key.
    Delete(DeleteArguments),
    /// Restore the state of an older version, as a new version. Nothing that was committed is erased.
    Revert(RevertArguments),
    /// Prove the values of keys, or that they are absent, at one version.
    #[command(disable_version_flag = true)]
    Prove(ProveArguments),
    /// Check a proof. Exit code 0 if proven, 1 if refused, 2 if the input is unusable, 3 if the proof is consistent and
    /// nothing was trusted.
    Verify(VerifyArguments),
    /// Show proofs.
    #[command(subcommand)]
    Proof(ProofCommand),
    /// Prove and check the history of a version.
    #[command(subcommand)]
    History(HistoryCommand),
    /// Check evidence of an accepted submission.
    #[command(subcommand)]
    Evidence(EvidenceCommand),
    /// Prove and check that the state digest and the KZG root of a version belong together.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// List the versions that can be read: in the log, and in the archive of versions.
    Versions(VersionsArguments),
    /// Show what a directory holds, without writing to it.
    Inspect(InspectArguments),
    /// Read everything in a directory that no engine has open, and name what is damaged. Exit code 0 if it is sound, 1
    /// if something is damaged, 2 if it cannot be read.
    Check(CheckArguments),
    /// Show or check the configuration that an engine would use.
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// The plan to run: a plan file, the plan of a run, or the defaults, with flags over it.
#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    /// Plan (TOML), or a run to repeat: its directory or its run.json. Flags override it.
    #[arg(long, value_name = "FILE|DIR")]
    pub(crate) plan: Option<PathBuf>,
    /// Name of the run.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Number of keys that are put before the operations start [default: 100000].
    #[arg(long)]
    pub(crate) keys: Option<u64>,
    /// Size of a value, bytes [default: 100].
    #[arg(long)]
    pub(crate) value_bytes: Option<usize>,
    /// Mix of operations [default: a].
    #[arg(long, value_enum)]
    pub(crate) workload: Option<Mix>,
    /// Distribution of the keys. Default: that of YCSB for the workload.
    #[arg(long, value_enum)]
    pub(crate) dist: Option<Dist>,
    /// Seed of keys, values, operations and arrivals [default: 1].
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Number of this load generator among several that load one target at once [default: 0]. Each has its own keys.
    #[arg(long)]
    pub(crate) instance: Option<u32>,

    /// Operations per second, whatever the engine does (open loop). Without --rate and --closed, a closed loop of 2
    /// seconds measures the peak (reads: by --readers threads), and --rate-share of that is the rate.
    #[arg(long, conflicts_with = "closed")]
    pub(crate) rate: Option<f64>,
    /// Share of the measured peak to run at [default: 0.7].
    #[arg(long, conflicts_with_all = ["rate", "closed"])]
    pub(crate) rate_share: Option<f64>,
    /// Spacing of operations [default: poisson].
    #[arg(long, value_enum)]
    pub(crate) arrivals: Option<ArrivalsKind>,
    /// Way to wait for the next operation [default: auto].
    #[arg(long, value_enum)]
    pub(crate) pacing: Option<PacingKind>,
    /// Most operations in flight in an open loop; operations beyond that are dropped and counted [default: 200000].
    #[arg(long, value_name = "OPERATIONS")]
    pub(crate) in_flight_max: Option<u64>,
    /// Run a closed loop: the next operation starts when an earlier one has ended.
    #[arg(long)]
    pub(crate) closed: bool,
    /// Batches in flight in a closed loop [default: 16]. A workload with reads has the same number of reading threads,
    /// unless --readers or the plan sets it.
    #[arg(long, visible_alias = "in-flight", value_name = "BATCHES")]
    pub(crate) concurrency: Option<usize>,
    /// File with the shape of the rate and its phases (TOML), instead of the plan's.
    #[arg(long, value_name = "FILE")]
    pub(crate) phases: Option<PathBuf>,

    /// Writes in a batch [default: 1000].
    #[arg(long)]
    pub(crate) batch: Option<usize>,
    /// Longest wait of a batch for more writes in an open loop, microseconds [default: 1000].
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) batch_linger_us: Option<u64>,
    /// Threads that read and check proofs [default: 1; --concurrency in a closed loop with reads].
    #[arg(long)]
    pub(crate) readers: Option<usize>,
    /// Top of the proofs in the workload verify [default: hash].
    #[arg(long, value_enum)]
    pub(crate) proof_top: Option<Top>,

    /// Warm-up before the measurement, seconds [default: 1, or 0 with --ops].
    #[arg(long, value_name = "SECONDS")]
    pub(crate) warmup: Option<f64>,
    /// Length of the measurement, seconds [default: 10, unless --ops is given].
    #[arg(long, value_name = "SECONDS")]
    pub(crate) duration: Option<f64>,
    /// Operations after which the run ends.
    #[arg(long)]
    pub(crate) ops: Option<u64>,
}

impl PlanArguments {
    /// Returns the files that are read.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = &PathBuf> {
        self.plan.iter().chain(&self.phases)
    }
}

/// Declares an argument whose values have the names of another type's values.
macro_rules! mirrored {
    ($(#[$doc:meta])* enum $name:ident => [$($target:ident),+] $values:tt) => {
        mirrored! { @enum [$(#[$doc])*] $name $values }
        $(mirrored! { @from $name $target $values })+
    };
    (@enum [$($doc:tt)*] $name:ident { $($(#[$about:meta])* $value:ident,)+ }) => {
        $($doc)*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
        pub(crate) enum $name {
            $($(#[$about])* $value,)+
        }
    };
    (@from $name:ident $target:ident { $($(#[$about:meta])* $value:ident,)+ }) => {
        impl From<$name> for $target {
            fn from(value: $name) -> Self {
                match value {
                    $($name::$value => Self::$value,)+
                }
            }
        }
    };
}

mirrored! {
    /// Mixes of operations: those of YCSB and two more. An update puts a whole new value.
    enum Mix => [Workload] {
        /// 50 % reads, 50 % updates; zipfian.
        A,
        /// 95 % reads, 5 % updates; zipfian.
        B,
        /// Only reads; zipfian.
        C,
        /// 95 % reads of the latest keys, 5 % inserts; latest.
        D,
        /// 95 % reads of up to 100 consecutive records, 5 % inserts; zipfian.
        E,
        /// 50 % reads, 50 % read-modify-writes; zipfian. If the first write of a batch to a key is one, it is put only
        /// if the key holds the last value of earlier batches; later writes of the batch to that key are plain puts.
        F,
        /// Only reads with proofs, which are checked (not of YCSB); zipfian.
        Verify,
        /// Only updates (not of YCSB); uniform.
        Write,
    }
}

mirrored! {
    /// Distribution by which keys are chosen.
    enum Dist => [Distribution] {
        /// All keys equally often.
        Uniform,
        /// A few keys often, scattered over the key space (exponent 0.99).
        Zipfian,
        /// The last inserted keys most often (exponent 0.99).
        Latest,
        /// 90 % of the operations on 1 % of the keys; a plan can set other shares.
        Hotspot,
    }
}

mirrored! {
    /// Spacing of operations.
    enum ArrivalsKind => [Arrivals] {
        /// Independent of each other.
        Poisson,
        /// At equal intervals.
        Constant,
    }
}

mirrored! {
    /// Way in which the load generator waits for the next operation.
    enum PacingKind => [Pacing] {
        /// Spins for the last 50 µs if operations are 200 µs apart or more; otherwise sleeps 100 µs at a time.
        Auto,
        /// Always spins: exact, but uses a whole core.
        Spin,
        /// Never spins.
        Sleep,
    }
}

mirrored! {
    /// Top of a proof, above the slots.
    enum Top => [TopKind, ProofTop] {
        /// Openings of the KZG root (48 bytes).
        Kzg,
        /// Hashes up to the state digest (32 bytes), with the commit record.
        Hash,
    }
}

/// The bytes of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key(pub(crate) Vec<u8>);

/// 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hex32(pub(crate) [u8; 32]);

/// A root without its tree id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TrustedRoot {
    Kzg([u8; 48]),
    StateDigest([u8; 32]),
}

impl TrustedRoot {
    /// Returns the root that a proof must lead to, in a tree.
    pub(crate) fn expected(self, tree_id: [u8; 32]) -> Expected {
        match self {
            Self::Kzg(kzg_root) => Expected::KzgRoot { tree_id, kzg_root },
            Self::StateDigest(state_digest) => Expected::StateDigest {
                tree_id,
                state_digest,
            },
        }
    }
}

/// An error of an argument.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArgumentError {
    #[error(
        "0x must be followed by pairs of hexadecimal digits; write text that begins with 0x in hex"
    )]
    Hex,
    #[error("a key has 1 to {KEY_BYTES_MAX} bytes, not {0}")]
    KeyBytes(usize),
    #[error("expected a setting and the values to try, such as group.linger_ms=0,1,2")]
    Varied,
    #[error("expected 64 hexadecimal digits (32 bytes)")]
    Digest,
    #[error("expected a percentage, such as 5%")]
    Percent,
    #[error("expected milliseconds: more than 0, at most 604800000 (a week)")]
    Milliseconds,
    #[error("expected a number from 1 to {0}")]
    Count(usize),
    #[error("expected a directory, or several separated by single commas")]
    Side,
    #[error("expected 96 hexadecimal digits (a KZG root) or 64 (a state digest)")]
    Root,
}

/// Parses a time in milliseconds, with fractions.
pub(crate) fn parse_milliseconds(text: &str) -> Result<f64, ArgumentError> {
    let time = text
        .parse()
        .ok()
        .filter(|time| *time > 0.0 && *time <= 604_800_000.0);
    time.ok_or(ArgumentError::Milliseconds)
}

/// Parses a number from 1 to a limit.
pub(crate) fn parse_count<const MAX: usize>(text: &str) -> Result<NonZeroUsize, ArgumentError> {
    let count = text
        .parse()
        .ok()
        .filter(|count: &NonZeroUsize| count.get() <= MAX);
    count.ok_or(ArgumentError::Count(MAX))
}

/// Parses text, or bytes in hex after `0x`.
pub(crate) fn parse_bytes(text: &str) -> Result<Vec<u8>, ArgumentError> {
    match text.strip_prefix("0x") {
        None => Ok(text.as_bytes().to_vec()),
        Some(digits) => hex::decode(digits).map_err(|_| ArgumentError::Hex),
    }
}

pub(crate) fn parse_key(text: &str) -> Result<Key, ArgumentError> {
    let key = parse_bytes(text)?;
    match key.len() {
        1..=KEY_BYTES_MAX => Ok(Key(key)),
        bytes => Err(ArgumentError::KeyBytes(bytes)),
    }
}

fn parse_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let mut bytes = [0; N];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(bytes)
}

pub(crate) fn parse_digest(text: &str) -> Result<Hex32, ArgumentError> {
    parse_array(text).map(Hex32).ok_or(ArgumentError::Digest)
}

pub(crate) fn parse_root(text: &str) -> Result<TrustedRoot, ArgumentError> {
    let kzg_root = parse_array(text).map(TrustedRoot::Kzg);
    kzg_root
        .or_else(|| parse_array(text).map(TrustedRoot::StateDigest))
        .ok_or(ArgumentError::Root)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn keys_are_text_or_hex() {
        assert_eq!(parse_key("alice"), Ok(Key(b"alice".to_vec())));
        assert_eq!(parse_key("0x00fF"), Ok(Key(vec![0, 255])));
        assert_eq!(parse_key("0x0"), Err(ArgumentError::Hex));
        assert_eq!(parse_key("0xzz"), Err(ArgumentError::Hex));
        assert_eq!(parse_key(""), Err(ArgumentError::KeyBytes(0)));
        assert_eq!(
            parse_key(&"k".repeat(4097)),
            Err(ArgumentError::KeyBytes(4097))
        );
        assert_eq!(parse_key(&format!("0x{}", "30".repeat(2))), parse_key("00"));
    }

    #[test]
    fn a_root_is_told_by_its_length() {
        let state_digest = TrustedRoot::StateDigest([0xab; 32]);
        assert_eq!(parse_root(&"ab".repeat(32)), Ok(state_digest));
        let kzg_root = TrustedRoot::Kzg([0xab; 48]);
        assert_eq!(parse_root(&format!("0x{}", "ab".repeat(48))), Ok(kzg_root));
        assert_eq!(parse_root(&"ab".repeat(47)), Err(ArgumentError::Root));
        assert_eq!(parse_digest(&"ab".repeat(31)), Err(ArgumentError::Digest));
    }
}
