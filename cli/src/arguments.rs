//! Subcommands and flags, and the parsers of keys and digests. The doc comments are the help texts.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use trunkline::TopKind;
use trunkline::core::params::KEY_BYTES_MAX;
use trunkline::core::proof::Expected;
use trunkline_load::{Arrivals, Distribution, Pacing, ProofTop, Workload};

use crate::compare::CompareArguments;
use crate::evidence::EvidenceCommand;
use crate::history::HistoryCommand;
use crate::report::ReportArguments;
use crate::sweep::SweepArguments;
use crate::tune::TuneArguments;

/// Commit engine for authenticated key-value state: load tests, imports, proofs, inspection.
#[derive(Debug, Parser)]
#[command(name = "trunkline", version, propagate_version = true)]
#[command(
    after_help = "Exit codes: 0 done or proven, 1 a check failed or not proven, 2 unusable input, 130 interrupted."
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
    /// Print the value of a key. Exit code 1 if it is absent.
    Get(GetArguments),
    /// Set the value of a key.
    Put(PutArguments),
    /// Remove a key.
    Delete(DeleteArguments),
    /// Prove the values of keys, or that they are absent, at the last durable version.
    Prove(ProveArguments),
    /// Check a proof. Exit code 0 if proven, 1 if not, 2 if the input is unusable.
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
    /// Show what a directory holds, without writing to it.
    Inspect(InspectArguments),
    /// Show or check the configuration that an engine would get.
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// Sources of settings over the defaults, later ones override: file, environment (`TRUNKLINE_<SECTION>_<KEY>`), flags.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SettingsArguments {
    /// Configuration file (TOML). `load` reloads it when it changes.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// One setting, such as group.linger_ms=2; may be repeated.
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

/// Arguments of `load`. Flags that are not given keep the value of the plan.
#[derive(Debug, Args)]
pub(crate) struct LoadArguments {
    /// Directory of the engine, created if missing. Default: a temporary one, removed at the end.
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) plan: PlanArguments,

    /// Write the operations of the run to a file.
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    pub(crate) record: Option<PathBuf>,
    /// Run the recorded operations of a file at their times, instead of a workload.
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "rate", "rate_share", "phases", "keys", "value_bytes", "workload", "dist", "duration", "ops"
    ])]
    pub(crate) replay: Option<PathBuf>,
    /// Speed of the replay, as a factor [default: 1].
    #[arg(long, value_name = "FACTOR", requires = "replay")]
    pub(crate) replay_speed: Option<f64>,

    /// Number of keys to prove at the end, half of them absent.
    #[arg(long, default_value_t = 1000)]
    pub(crate) proofs: usize,
    /// Directory for the results of the run: run.json and latency.hlog.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Show the run on the whole terminal; q stops it.
    #[arg(long, conflicts_with = "json")]
    pub(crate) tui: bool,
    /// Print only the totals of the run, as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) settings: SettingsArguments,
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

    /// Operations a second, whatever the engine does (open loop). Without --rate and --closed, a closed loop of 2 seconds
    /// measures the peak (reads: by --readers threads), and --rate-share of that is the rate.
    #[arg(long, conflicts_with = "closed")]
    pub(crate) rate: Option<f64>,
    /// Share of the measured peak to run at [default: 0.7].
    #[arg(long, conflicts_with_all = ["rate", "closed"])]
    pub(crate) rate_share: Option<f64>,
    /// Spacing of operations [default: poisson].
    #[arg(long, value_enum)]
    pub(crate) arrivals: Option<ArrivalsKind>,
    /// How the load generator waits for the next operation [default: auto].
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

/// Declares an argument whose values are those of another type, by the same names.
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
        /// 50 % reads, 50 % read-modify-writes; zipfian. The first write of a batch to a key, if it is one, is put only if
        /// the key holds the last value of earlier batches; later writes of the batch to it are plain puts.
        F,
        /// Only reads with proofs, which are checked (not of YCSB); zipfian.
        Verify,
        /// Only updates (not of YCSB); uniform.
        Write,
    }
}

mirrored! {
    /// How keys are chosen.
    enum Dist => [Distribution] {
        /// All keys equally often.
        Uniform,
        /// Few keys often, scattered over the key space (exponent 0.99).
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
    /// How the load generator waits for the next operation.
    enum PacingKind => [Pacing] {
        /// Spins for the last 50 µs where operations are 200 µs apart or more; else sleeps 100 µs at a time.
        Auto,
        /// Always spins: exact, but uses a whole core.
        Spin,
        /// Never spins.
        Sleep,
    }
}

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// File of records, one a line; - is standard input.
    pub(crate) file: PathBuf,
    /// Directory of the engine, created if missing.
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// Format of a line. Default: tsv for files named *.tsv, otherwise ndjson.
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// Stop at the first malformed line. Records before it may already be stored.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Records in a batch.
    #[arg(long, default_value = "1000")]
    pub(crate) batch: NonZeroUsize,
    /// Batches in flight.
    #[arg(long, default_value = "16")]
    pub(crate) in_flight: NonZeroUsize,
    #[command(flatten)]
    pub(crate) settings: SettingsArguments,
}

/// Format of a line of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// {"key": "…", "value": "…"} with no other fields.
    Ndjson,
    /// Key, tab, value up to the end of the line, without escapes.
    Tsv,
}

#[derive(Debug, Args)]
pub(crate) struct GetArguments {
    /// Key: text, or 0x and hex.
    #[arg(value_parser = parse_key)]
    pub(crate) key: Key,
    /// Directory of the state.
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// Print the value in hex.
    #[arg(long)]
    pub(crate) hex: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PutArguments {
    /// Key: text, or 0x and hex.
    #[arg(value_parser = parse_key)]
    pub(crate) key: Key,
    /// Value: text, 0x and hex, or - for standard input.
    pub(crate) value: String,
    /// Directory of the engine, created if missing.
    #[arg(long)]
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) settings: SettingsArguments,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArguments {
    /// Key: text, or 0x and hex.
    #[arg(value_parser = parse_key)]
    pub(crate) key: Key,
    /// Directory of the engine.
    #[arg(long)]
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) settings: SettingsArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ProveArguments {
    /// Directory of the state.
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// Keys: text, or 0x and hex; may be repeated.
    #[arg(long = "key", value_name = "KEY", required = true, num_args = 1.., value_parser = parse_key)]
    pub(crate) keys: Vec<Key>,
    /// Output file of the proof; - is standard output.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Root that the proof leads to: a KZG root, or a state digest with a commit id.
    #[arg(long, value_enum, default_value_t = Top::Kzg)]
    pub(crate) top: Top,
    /// Longest value that the proof contains, bytes. It contains the hash of longer ones; 0 contains no value.
    #[arg(long, value_name = "BYTES")]
    pub(crate) value_bytes_max: Option<usize>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
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

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// File of the proof; - is standard input.
    pub(crate) file: PathBuf,
    /// Trusted root in hex: a KZG root (48 bytes) or a state digest (32 bytes). One for each version of
    /// the proof, in ascending order.
    #[arg(long = "root", value_name = "ROOT", value_parser = parse_root)]
    pub(crate) roots: Vec<TrustedRoot>,
    /// Trusted commit id in hex (32 bytes): also binds the version. Needs a proof with a hash top. One
    /// for each version of the proof, in ascending order.
    #[arg(long = "commit-id", value_name = "HEX", value_parser = parse_digest)]
    pub(crate) commit_ids: Vec<Hex32>,
    /// Trusted tree id in hex (32 bytes), with --root. Default: that of the proof.
    #[arg(long, value_name = "HEX", value_parser = parse_digest, requires = "roots")]
    pub(crate) tree_id: Option<Hex32>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProofCommand {
    /// Print every field of a proof and what a verifier computes from it. Proves nothing.
    Show(ShowArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// File of the proof; - is standard input.
    pub(crate) file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Write the audit proof of the last durable version: its 128 slot digests and an opening.
    Prove(AuditProveArguments),
    /// Check an audit proof. Exit code 0 if proven, 1 if not, 2 if the input is unusable.
    Verify(AuditVerifyArguments),
}

#[derive(Debug, Args)]
pub(crate) struct AuditProveArguments {
    /// Directory of the state.
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// Output file of the audit proof; - is standard output.
    #[arg(long)]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct AuditVerifyArguments {
    /// File of the audit proof; - is standard input.
    pub(crate) file: PathBuf,
    /// Trusted root in hex: a state digest (32 bytes) or a KZG root (48 bytes); may be repeated to give
    /// both. A KZG root alone does not bind the state digest.
    #[arg(long = "root", value_name = "ROOT", value_parser = parse_root)]
    pub(crate) roots: Vec<TrustedRoot>,
    /// Trusted commit id in hex (32 bytes): also binds the version.
    #[arg(long, value_name = "HEX", value_parser = parse_digest)]
    pub(crate) commit_id: Option<Hex32>,
    /// Trusted tree id in hex (32 bytes), with --root. Default: that of the proof.
    #[arg(long, value_name = "HEX", value_parser = parse_digest, requires = "roots")]
    pub(crate) tree_id: Option<Hex32>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArguments {
    /// Directory of the state.
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// Show instead which settings the engine changed and why, and what was reloaded; also while it runs.
    #[arg(long)]
    pub(crate) decisions: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every setting as TOML, with the source of those that are not defaults.
    Show(ConfigShowArguments),
    /// Check file, environment and flags. Exit code 2 and the first mistake if they are invalid.
    Check(SettingsArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ConfigShowArguments {
    /// Show the source of every setting, and whether it can be reloaded while the engine runs.
    #[arg(long)]
    pub(crate) origin: bool,
    #[command(flatten)]
    pub(crate) settings: SettingsArguments,
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
    /// Returns what a proof must lead to, in a tree.
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

/// Why an argument is invalid.
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
    #[error("expected a directory, or several separated by single commas")]
    Side,
    #[error("expected 96 hexadecimal digits (a KZG root) or 64 (a state digest)")]
    Root,
}

/// Parses text, or bytes in hex after `0x`.
pub(crate) fn parse_bytes(text: &str) -> Result<Vec<u8>, ArgumentError> {
    match text.strip_prefix("0x") {
        None => Ok(text.as_bytes().to_vec()),
        Some(digits) => hex::decode(digits).map_err(|_| ArgumentError::Hex),
    }
}

fn parse_key(text: &str) -> Result<Key, ArgumentError> {
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

fn parse_root(text: &str) -> Result<TrustedRoot, ArgumentError> {
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
