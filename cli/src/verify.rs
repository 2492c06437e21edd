//! `verify`: a proof against what the user trusts. Needs nothing but the file.

use std::io::{self, Read};
use std::path::Path;

use serde::Serialize;
use trunkline::core::proof::{
    BoundTo, Claim, Entry, Expected, PROOF_BYTES_MAX, Proof, TopRoot, Verified, VerifyProofError,
    VersionProof, verify_versions,
};

use crate::Exit;
use crate::arguments::{Hex32, TrustedRoot, VerifyArguments};
use crate::error::CommandError;
use crate::output::{self, shown};

/// Reads a proof from a file or from standard input.
pub(crate) fn read_proof(path: &Path) -> Result<Proof, CommandError> {
    let bytes = read_bounded(path)?;
    Proof::decode(&bytes).map_err(|source| CommandError::Decode {
        file: path.to_owned(),
        source,
    })
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, CommandError> {
    let bytes_max = PROOF_BYTES_MAX;
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin()
            .lock()
            .take(bytes_max as u64 + 1)
            .read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(bytes_max as u64 + 1).read_to_end(&mut bytes))
    };
    read.map_err(CommandError::file("read", path))?;
    if bytes.len() > bytes_max {
        return Err(CommandError::ProofTooLong {
            file: path.to_owned(),
            bytes_max,
        });
    }
    Ok(bytes)
}

pub(crate) fn run(arguments: &VerifyArguments) -> Result<Exit, CommandError> {
    let proof = read_proof(&arguments.file)?;
    let verdict = check(arguments, &proof);
    if arguments.json {
        output::print_json(&Json::of(&proof, &verdict))?;
    } else {
        output::print(text(arguments, &proof, &verdict))?;
    }
    Ok(match verdict {
        Ok(_) => Exit::Done,
        Err(_) => Exit::Failed,
    })
}

/// What each version of the proof was held against, trusted thing by trusted thing.
type Verdict<'a> = Result<Vec<Vec<Verified<'a>>>, VerifyProofError>;

/// Checks the proof against everything that is trusted.
fn check<'a>(arguments: &VerifyArguments, proof: &'a Proof) -> Verdict<'a> {
    let mut of_versions: Vec<Vec<Verified<'a>>> = vec![Vec::new(); proof.versions.len()];
    for expected in trusted(arguments, proof) {
        let verified = verify_versions(proof, &expected)?;
        for (of_version, verified) in of_versions.iter_mut().zip(verified) {
            of_version.push(verified);
        }
    }
    Ok(of_versions)
}

/// What the user trusts, at least one thing of each version: nothing but the proof's own roots if
/// nothing is given.
fn trusted(arguments: &VerifyArguments, proof: &Proof) -> Vec<Vec<Expected>> {
    let own_tree_id = || proof.params.tree_id();
    let tree_id = arguments
        .tree_id
        .map_or_else(own_tree_id, |tree_id| tree_id.0);
    let root = |root: &TrustedRoot| match *root {
        TrustedRoot::Kzg(kzg_root) => Expected::KzgRoot { tree_id, kzg_root },
        TrustedRoot::StateDigest(state_digest) => Expected::StateDigest {
            tree_id,
            state_digest,
        },
    };
    let roots: Vec<Expected> = arguments.roots.iter().map(root).collect();
    let commit_id = |id: &Hex32| Expected::CommitId(id.0);
    let commit_ids: Vec<Expected> = arguments.commit_ids.iter().map(commit_id).collect();
    match (roots.is_empty(), commit_ids.is_empty()) {
        (true, true) => vec![vec![Expected::Carried; proof.versions.len()]],
        (true, false) => vec![commit_ids],
        (false, true) => vec![roots],
        (false, false) => vec![roots, commit_ids],
    }
}

fn text(arguments: &VerifyArguments, proof: &Proof, verdict: &Verdict<'_>) -> String {
    let of_versions = match verdict {
        Err(error) => return format!("NOT PROVEN: {error}\n"),
        Ok(of_versions) => of_versions,
    };
    let mut text = headline(of_versions.first().map_or(&[], |verified| &verified[..]));
    for (version, verified) in proof.versions.iter().zip(of_versions) {
        for entry in &version.entries {
            text += &entry_line(entry);
        }
        text += &root_lines(arguments, proof, version, verified);
    }
    text
}

/// What the claims lead to, and what nothing but the proof vouches for.
fn root_lines(
    arguments: &VerifyArguments,
    proof: &Proof,
    version: &VersionProof,
    verified: &[Verified<'_>],
) -> String {
    const OWN_WORD: &str = ", by the proof's own word";
    let is_bound = is_commit_bound(verified);
    let own_word = if is_bound { "" } else { OWN_WORD };
    let own_tree = match arguments.tree_id {
        Some(_) => "",
        None => own_word,
    };
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

/// Whether something trusted vouches for version and commit id.
fn is_commit_bound(verified: &[Verified<'_>]) -> bool {
    verified
        .iter()
        .any(|verified| verified.trusted_version.is_some())
}

fn headline(verified: &[Verified<'_>]) -> String {
    let bound: Vec<&str> = verified
        .iter()
        .filter_map(|verified| bound_name(verified.bound_to))
        .collect();
    if bound.is_empty() {
        return "the proof fits the root that it carries; nothing says that this root is the right one\n\
                (compare it with one that you trust, or name that by --root or --commit-id)\n"
            .to_owned();
    }
    format!("PROVEN against the trusted {}\n", bound.join(" and "))
}

fn bound_name(bound_to: BoundTo) -> Option<&'static str> {
    match bound_to {
        BoundTo::Root => Some("root"),
        BoundTo::CommitId => Some("commit id"),
        BoundTo::StateDigest => Some("state digest"),
        BoundTo::KzgRoot => Some("kzg root"),
        BoundTo::Nothing => None,
    }
}

fn entry_line(entry: &Entry) -> String {
    let key = shown(&entry.key);
    match &entry.claim {
        Claim::Present(value) => format!("  present  {key} = {}\n", shown(value)),
        Claim::PresentHash(value_hash) => {
            format!(
                "  present  {key}, a value of hash {}\n",
                hex::encode(value_hash)
            )
        }
        Claim::Absent => format!("  absent   {key}\n"),
    }
}

/// The verdict for programs.
#[derive(Serialize)]
struct Json {
    proven: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    tree_id: String,
    versions: Vec<VersionJson>,
}

#[derive(Serialize)]
struct VersionJson {
    version: u64,
    /// The trusted things that the claims rest on; none if the proof fits its own root alone.
    bound_to: Vec<&'static str>,
    /// Whether something trusted vouches for version and commit id, or the proof alone.
    commit_is_bound: bool,
    state_digest: Option<String>,
    kzg_root: Option<String>,
    commit_id: Option<String>,
    /// Claims, shown only if proven.
    entries: Vec<EntryJson>,
}

#[derive(Serialize)]
struct EntryJson {
    key: String,
    claim: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_hash: Option<String>,
}

impl Json {
    fn of(proof: &Proof, verdict: &Verdict<'_>) -> Self {
        let verified = |place: usize| match verdict {
            Ok(of_versions) => of_versions.get(place).map(|verified| &verified[..]),
            Err(_) => None,
        };
        let versions = proof.versions.iter().enumerate();
        Self {
            proven: verdict.is_ok(),
            reason: verdict.as_ref().err().map(ToString::to_string),
            tree_id: hex::encode(proof.params.tree_id()),
            versions: versions
                .map(|(place, version)| VersionJson::of(version, verified(place)))
                .collect(),
        }
    }
}

impl VersionJson {
    fn of(version: &VersionProof, verified: Option<&[Verified<'_>]>) -> Self {
        let entries = match verified {
            Some(_) => &version.entries[..],
            None => &[],
        };
        let verified = verified.unwrap_or_default();
        let root = verified.first().map(|verified| verified.root);
        Self {
            version: version.version,
            bound_to: verified
                .iter()
                .filter_map(|verified| bound_name(verified.bound_to))
                .collect(),
            commit_is_bound: is_commit_bound(verified),
            state_digest: match root {
                Some(TopRoot::StateDigest(digest)) => Some(hex::encode(digest)),
                _ => None,
            },
            kzg_root: match root {
                Some(TopRoot::Kzg(kzg_root)) => Some(hex::encode(kzg_root)),
                _ => None,
            },
            commit_id: version
                .record
                .as_ref()
                .map(|record| hex::encode(record.commit_id())),
            entries: entries.iter().map(EntryJson::of).collect(),
        }
    }
}

impl EntryJson {
    fn of(entry: &Entry) -> Self {
        let (claim, value) = match &entry.claim {
            Claim::Present(value) => ("present", Some(hex::encode(value))),
            Claim::PresentHash(_) => ("present", None),
            Claim::Absent => ("absent", None),
        };
        Self {
            key: hex::encode(&entry.key),
            claim,
            value,
            value_hash: entry.claim.value_hash().map(hex::encode),
        }
    }
}
