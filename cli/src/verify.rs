//! `verify`: checks a proof against the values that the user trusts. Needs only the file.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use trunkline::core::proof::{
    Claim, Entry, Expected, Proof, TopRoot, Verified, VerifyProofError, VersionProof,
    verify_versions,
};

use crate::arguments::{Hex32, TrustedRoot, parse_digest, parse_root};
use crate::error::CommandError;
use crate::output::shown;
use crate::verdict::{CONSISTENT, OWN_WORD, names};
use crate::{Exit, input, output, verdict};

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// File of the proof; - is standard input.
    file: PathBuf,
    /// Trusted root in hex: a KZG root (48 bytes) or a state digest (32 bytes). Needs --tree-id or --commit-id. One for
    /// each version of the proof, in ascending order.
    #[arg(long = "root", value_name = "ROOT", value_parser = parse_root)]
    roots: Vec<TrustedRoot>,
    /// Trusted commit id in hex (32 bytes): also binds the version. Needs a proof with a hash top. One
    /// for each version of the proof, in ascending order.
    #[arg(long = "commit-id", value_name = "HEX", value_parser = parse_digest)]
    commit_ids: Vec<Hex32>,
    /// Trusted tree id in hex (32 bytes), with --root.
    #[arg(long, value_name = "HEX", value_parser = parse_digest, requires = "roots")]
    tree_id: Option<Hex32>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &VerifyArguments) -> Result<Exit, CommandError> {
    let proof = input::proof(&arguments.file)?;
    let trusted = trusted(arguments, &proof)?;
    let verified = check(&trusted, &proof);
    // The same kinds of trusted values apply to each version.
    let kinds: Vec<Expected> = trusted
        .iter()
        .filter_map(|all| all.first().copied())
        .collect();
    let names = names(&kinds);
    let text = |verified: &Vec<Vec<Verified<'_>>>| text(&proof, &names, verified);
    let fields = |verified: Option<&Vec<Vec<Verified<'_>>>>| fields(&proof, &names, verified);
    verdict::print(arguments.json, !names.is_empty(), &verified, text, fields)
}

/// Checks the proof against each list of trusted values. Returns the results by version.
fn check<'a>(
    trusted: &[Vec<Expected>],
    proof: &'a Proof,
) -> Result<Vec<Vec<Verified<'a>>>, VerifyProofError> {
    let mut of_versions = vec![Vec::new(); proof.versions.len()];
    for expected in trusted {
        let verified = verify_versions(proof, expected)?;
        for (of_version, verified) in of_versions.iter_mut().zip(verified) {
            of_version.push(verified);
        }
    }
    Ok(of_versions)
}

/// Returns lists of the values that the user trusts, each with one entry for each version. If the user names none, the
/// list has the roots that the proof carries.
fn trusted(arguments: &VerifyArguments, proof: &Proof) -> Result<Vec<Vec<Expected>>, CommandError> {
    let is_commit_trusted = !arguments.commit_ids.is_empty();
    let own = proof.params.tree_id();
    let tree_id =
        verdict::tree_of_roots(&arguments.roots, arguments.tree_id, is_commit_trusted, own)?;
    let roots = arguments.roots.iter().map(|root| root.expected(tree_id));
    let commit_ids = arguments
        .commit_ids
        .iter()
        .map(|id| Expected::CommitId(id.0));
    let mut trusted = vec![roots.collect(), commit_ids.collect()];
    trusted.retain(|all: &Vec<Expected>| !all.is_empty());
    Ok(match trusted.is_empty() {
        true => vec![vec![Expected::Carried; proof.versions.len()]],
        false => trusted,
    })
}

fn text(proof: &Proof, names: &[&str], of_versions: &[Vec<Verified<'_>>]) -> String {
    let mut text = match names {
        [] => CONSISTENT.to_owned(),
        names => format!("PROVEN against the trusted {}\n", names.join(" and ")),
    };
    for (version, verified) in proof.versions.iter().zip(of_versions) {
        text.extend(version.entries.iter().map(entry_line));
        text += &root_lines(names, proof, version, verified);
    }
    text
}

/// Returns the root that the claims lead to, and marks the parts that only the proof itself states.
fn root_lines(
    names: &[&str],
    proof: &Proof,
    version: &VersionProof,
    verified: &[Verified<'_>],
) -> String {
    let is_bound = is_commit_bound(verified);
    let own_word = output::unless(is_bound, OWN_WORD);
    let own_tree = output::unless(!names.is_empty(), OWN_WORD);
    let tree_id = hex::encode(proof.params.tree_id());
    let mut text = format!(
        "  version       {}{own_word}\n  tree id       {tree_id}{own_tree}\n",
        version.version
    );
    if let Some(record) = &version.record {
        let commit_id = hex::encode(record.commit_id());
        text += &format!("  commit id     {commit_id}{own_word}\n");
    }
    text += &match verified.first().map(|verified| verified.root) {
        Some(TopRoot::StateDigest(digest)) => format!("  state digest  {}\n", hex::encode(digest)),
        Some(TopRoot::Kzg(kzg_root)) => format!("  kzg root      {}\n", hex::encode(kzg_root)),
        None => String::new(),
    };
    text
}

/// Returns whether a trusted value binds the version and commit id.
fn is_commit_bound(verified: &[Verified<'_>]) -> bool {
    let mut verified = verified.iter();
    verified.any(|verified| verified.trusted_version.is_some())
}

fn entry_line(entry: &Entry) -> String {
    let key = shown(&entry.key);
    match &entry.claim {
        Claim::Present(value) => format!("  present  {key} = {}\n", shown(value)),
        Claim::PresentHash(hash) => {
            format!("  present  {key}, a value of hash {}\n", hex::encode(hash))
        }
        Claim::Absent => format!("  absent   {key}\n"),
    }
}

/// Returns the fields of the JSON verdict. Claims and the values that they are bound to are included only if proven.
fn fields(proof: &Proof, names: &[&str], of_versions: Option<&Vec<Vec<Verified<'_>>>>) -> Value {
    let version = |(place, version): (usize, &VersionProof)| {
        let verified = of_versions.and_then(|all| all.get(place));
        let (bound_to, entries) = match verified {
            Some(_) => (names, &version.entries[..]),
            None => (&[][..], &[][..]),
        };
        let root = verified.and_then(|verified| Some(verified.first()?.root));
        let (state_digest, kzg_root) = match root {
            Some(TopRoot::StateDigest(digest)) => (Some(hex::encode(digest)), None),
            Some(TopRoot::Kzg(kzg_root)) => (None, Some(hex::encode(kzg_root))),
            None => (None, None),
        };
        json!({
            "version": version.version,
            "bound_to": bound_to,
            "commit_is_bound": verified.is_some_and(|verified| is_commit_bound(verified)),
            "state_digest": state_digest,
            "kzg_root": kzg_root,
            "commit_id": version.record.as_ref().map(|record| hex::encode(record.commit_id())),
            "entries": entries.iter().map(entry_json).collect::<Vec<_>>(),
        })
    };
    json!({
        "tree_id": hex::encode(proof.params.tree_id()),
        "versions": proof.versions.iter().enumerate().map(version).collect::<Vec<_>>(),
    })
}

fn entry_json(entry: &Entry) -> Value {
    let (claim, value) = match &entry.claim {
        Claim::Present(value) => ("present", Some(hex::encode(value))),
        Claim::PresentHash(_) => ("present", None),
        Claim::Absent => ("absent", None),
    };
    let json = json!({
        "key": hex::encode(&entry.key),
        "claim": claim,
        "value": value,
        "value_hash": entry.claim.value_hash().map(hex::encode),
    });
    output::without_nulls(json, &["value", "value_hash"])
}
