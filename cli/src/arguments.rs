//! What can be typed: subcommands, flags, and how keys and digests are read.
//!
//! The doc comments are the command's help text.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use trunkline::core::params::KEY_BYTES_MAX;

use crate::evidence::EvidenceCommand;
use crate::history::HistoryCommand;

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
    /// Run a workload against an engine, report, prove and verify a sample of the keys.
    Load(LoadArguments),
    /// Put the records of a file into a directory.
    Import(ImportArguments),
    /// Print the value of a key; exit code 1 if it is absent.
    Get(GetArguments),
    /// Set the value of a key.
    Put(PutArguments),
    /// Remove a key.
    Delete(DeleteArguments),
    /// Prove what keys hold, or that they are absent, at the last durable version.
    Prove(ProveArguments),
    /// Check a proof: exit code 0 if proven, 1 if not, 2 if the input is unusable.
    Verify(VerifyArguments),
    /// Look into proofs.
    #[command(subcommand)]
    Proof(ProofCommand),
    /// Prove and check what came before a version.
    #[command(subcommand)]
    History(HistoryCommand),
    /// Check what a receipt was turned into.
    #[command(subcommand)]
    Evidence(EvidenceCommand),
    /// Tie the state digest of a version to its KZG root by all 128 slot digests.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Say what a directory holds, without writing to it.
    Inspect(InspectArguments),
    /// Look at the configuration that an engine would get.
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// Where settings come from, weakest first: defaults, file, environment
/// (`TRUNKLINE_<SECTION>_<KEY>`), flags.
#[derive(Debug, Default, Args)]
pub(crate) struct SettingsArguments {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// One setting, such as group.linger_ms=2; may be repeated.
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct LoadArguments {
    /// Directory of the engine, created if missing; without it a temporary one, removed at the end.
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// Keys that are put before the operations start.
    #[arg(long, default_value = "100000")]
    pub(crate) keys: NonZeroU64,
    /// Operations of the workload.
    #[arg(long, default_value_t = 2_000_000)]
    pub(crate) ops: u64,
    /// Operations of one batch.
    #[arg(long, default_value = "1000")]
    pub(crate) batch: NonZeroUsize,
    /// Bytes of a value.
    #[arg(long, default_value_t = 100)]
    pub(crate) value_bytes: usize,
    /// Mix of operations.
    #[arg(long, value_enum, default_value_t = Mix::A)]
    pub(crate) workload: Mix,
    /// Which keys are chosen; without it what YCSB takes for the workload.
    #[arg(long, value_enum)]
    pub(crate) dist: Option<Dist>,
    /// Seed of keys, values and operations.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Batches submitted and not yet durable.
    #[arg(long, default_value = "16")]
    pub(crate) in_flight: NonZeroUsize,
    /// Keys that are proven at the end, half of them absent ones.
    #[arg(long, default_value_t = 1000)]
    pub(crate) proofs: usize,
    #[command(flatten)]
    pub(crate) settings: SettingsArguments,
}

/// Mixes of operations, as YCSB defines them. An update puts a whole new value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mix {
    /// 50 % reads, 50 % updates; zipfian.
    A,
    /// 95 % reads, 5 % updates; zipfian.
    B,
    /// Reads alone; zipfian.
    C,
    /// 95 % reads of the latest keys, 5 % inserts; latest.
    D,
    /// 50 % reads, 50 % read-modify-writes, each put only if the key holds what was written to it
    /// last; zipfian.
    F,
    /// Updates alone (not of YCSB); uniform.
    Write,
}

/// How keys are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dist {
    /// Each key alike.
    Uniform,
    /// Few keys often, scattered over the key space (exponent 0.99).
    Zipfian,
    /// The keys inserted last most often (exponent 0.99).
    Latest,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// File of records, one a line; - is standard input.
    pub(crate) file: PathBuf,
    /// Directory of the engine, created if missing.
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// Form of a line; without it told by the file's extension (.tsv), else ndjson.
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// Stop at the first malformed line. Records before it may already be stored.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Records of one batch.
    #[arg(long, default_value = "1000")]
    pub(crate) batch: NonZeroUsize,
    /// Batches submitted and not yet durable.
    #[arg(long, default_value = "16")]
    pub(crate) in_flight: NonZeroUsize,
    #[command(flatten)]
    pub(crate) settings: SettingsArguments,
}

/// What a line of an import looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// {"key": "…", "value": "…"}, nothing else in it.
    Ndjson,
    /// The key, a tab, the value up to the end of the line; bytes as they are.
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
    /// File that the proof is written to; - is standard output.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// What the proof leads to: a KZG root, or a state digest and commit id.
    #[arg(long, value_enum, default_value_t = Top::Kzg)]
    pub(crate) top: Top,
    /// Bytes of the longest value shown; of longer ones the proof has the hash. 0 shows no value.
    #[arg(long, value_name = "BYTES")]
    pub(crate) value_bytes_max: Option<usize>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What stands above the slots of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Top {
    /// Openings of the KZG root (48 bytes).
    Kzg,
    /// Hashes up to the state digest (32 bytes), with the commit record.
    Hash,
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
    /// Trusted tree id in hex (32 bytes), to go with a root; without it the proof's own is taken.
    #[arg(long, value_name = "HEX", value_parser = parse_digest, requires = "roots")]
    pub(crate) tree_id: Option<Hex32>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProofCommand {
    /// Print every field of a proof, with what a verifier computes from it. Proves nothing.
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
    /// Write the audit proof of the last durable version: its slot digests and an opening.
    Prove(AuditProveArguments),
    /// Check an audit proof: exit code 0 if proven, 1 if not, 2 if the input is unusable.
    Verify(AuditVerifyArguments),
}

#[derive(Debug, Args)]
pub(crate) struct AuditProveArguments {
    /// Directory of the state.
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// File that the audit proof is written to; - is standard output.
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
    /// Trusted tree id in hex (32 bytes), to go with a root; without it the proof's own is taken.
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
    /// Say what the engine moved by itself and why, and what was reloaded, instead; also while it runs.
    #[arg(long)]
    pub(crate) decisions: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every setting as TOML, those that are not at their default under the place they came from.
    Show(ConfigShowArguments),
    /// Check file, environment and flags; exit code 2 names the first mistake.
    Check(SettingsArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ConfigShowArguments {
    /// Say of every setting where it came from, and whether a running engine takes another value.
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

/// Why an argument was not understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArgumentError {
    #[error(
        "after 0x only pairs of hexadecimal digits may follow; write text that begins with 0x in hex itself"
    )]
    Hex,
    #[error("a key has 1 to {KEY_BYTES_MAX} bytes, not {0}")]
    KeyBytes(usize),
    #[error("64 hexadecimal digits (32 bytes) were expected")]
    Digest,
    #[error("96 hexadecimal digits (a KZG root) or 64 (a state digest) were expected")]
    Root,
}

/// Text as it is, or bytes in hex after `0x`.
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
