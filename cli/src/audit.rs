//! `audit`: what ties the state digest of a version to its KZG root, made and checked.

use std::io::{self, Read};
use std::path::Path;

use serde::Serialize;
use trunkline::core::audit::{
    AuditBinding, AuditProof, ENCODED_BYTES_MAX, VerifiedAudit, VerifyAuditError, verify,
};
use trunkline::core::hash::Digest;
use trunkline::core::proof::Expected;

use crate::Exit;
use crate::arguments::{AuditProveArguments, AuditVerifyArguments, TrustedRoot};
use crate::error::CommandError;
use crate::output::{self, byte_size, root_lines};
use crate::single::open_read_only;

pub(crate) fn prove(arguments: &AuditProveArguments) -> Result<Exit, CommandError> {
    let snapshot = open_read_only(&arguments.dir)?.snapshot();
    let bytes = snapshot.audit().encode()?;
    if arguments.out == Path::new("-") {
        output::print(&bytes)?;
        return Ok(Exit::Done);
    }
    std::fs::write(&arguments.out, &bytes).map_err(CommandError::file("write", &arguments.out))?;
    output::print(format!(
        "an audit proof of version {}, {}: {}\n{}",
        snapshot.version(),
        byte_size(bytes.len() as u64),
        arguments.out.display(),
        root_lines(&snapshot.root())
    ))?;
    Ok(Exit::Done)
}

pub(crate) fn check(arguments: &AuditVerifyArguments) -> Result<Exit, CommandError> {
    let proof = read(&arguments.file)?;
    let trusted = trusted(arguments, proof.params.tree_id());
    let verdict: Verdict<'_> = trusted
        .iter()
        .map(|trusted| verify(&proof, trusted))
        .collect();
    if arguments.json {
        output::print_json(&Json::of(&proof, &trusted, &verdict))?;
    } else {
        output::print(text(arguments, &proof, &trusted, &verdict))?;
    }
    Ok(match verdict {
        Ok(_) => Exit::Done,
        Err(_) => Exit::Failed,
    })
}

/// Each thing that is trusted was checked; all of them hold, or one rule is broken.
type Verdict<'a> = Result<Vec<VerifiedAudit<'a>>, VerifyAuditError>;

fn read(path: &Path) -> Result<AuditProof, CommandError> {
    let bytes = read_bounded(path).map_err(CommandError::file("read", path))?;
    AuditProof::decode(&bytes).map_err(|source| CommandError::DecodeAudit {
        file: path.to_owned(),
        source,
    })
}

/// One byte more than an audit proof can have is enough to refuse it.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let bytes_max = ENCODED_BYTES_MAX as u64 + 1;
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        io::stdin().lock().take(bytes_max).read_to_end(&mut bytes)?;
    } else {
        let file = std::fs::File::open(path)?;
        file.take(bytes_max).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// What the user trusts, at least one thing: nothing if nothing is given.
fn trusted(arguments: &AuditVerifyArguments, own_tree_id: Digest) -> Vec<Expected> {
    let tree_id = arguments.tree_id.map_or(own_tree_id, |tree_id| tree_id.0);
    let roots = arguments.roots.iter().map(|root| match *root {
        TrustedRoot::Kzg(kzg_root) => Expected::KzgRoot { tree_id, kzg_root },
        TrustedRoot::StateDigest(state_digest) => Expected::StateDigest {
            tree_id,
            state_digest,
        },
    });
    let commit_id = arguments.commit_id.map(|id| Expected::CommitId(id.0));
    let trusted: Vec<Expected> = roots.chain(commit_id).collect();
    match trusted.is_empty() {
        true => vec![Expected::Carried],
        false => trusted,
    }
}

fn name(trusted: &Expected) -> Option<&'static str> {
    match trusted {
        Expected::Root(_) => Some("root"),
        Expected::CommitId(_) => Some("commit id"),
        Expected::StateDigest { .. } => Some("state digest"),
        Expected::KzgRoot { .. } => Some("kzg root"),
        Expected::Carried => None,
    }
}

/// The strongest of what the checks bind.
fn binding(verified: &[VerifiedAudit<'_>]) -> AuditBinding {
    let has = |binding| verified.iter().any(|verified| verified.binding == binding);
    match () {
        () if has(AuditBinding::BothRoots) => AuditBinding::BothRoots,
        () if has(AuditBinding::KzgRoot) => AuditBinding::KzgRoot,
        () => AuditBinding::Nothing,
    }
}

fn text(
    arguments: &AuditVerifyArguments,
    proof: &AuditProof,
    trusted: &[Expected],
    verdict: &Verdict<'_>,
) -> String {
    const OWN_WORD: &str = ", by the proof's own word";
    let verified = match verdict {
        Err(error) => return format!("NOT PROVEN: {error}\n"),
        Ok(verified) => verified,
    };
    let Some(first) = verified.first() else {
        return String::new();
    };
    let binding = binding(verified);
    let unless = |is_bound: bool| if is_bound { "" } else { OWN_WORD };
    let is_commit_bound = is_commit_bound(verified);
    let own_commit = unless(is_commit_bound);
    let own_tree = unless(is_commit_bound || arguments.tree_id.is_some());
    let own_state = unless(binding == AuditBinding::BothRoots);
    let own_kzg_root = unless(binding != AuditBinding::Nothing);
    let mut text = headline(trusted, binding);
    text += &format!(
        "  version       {}{own_commit}\n  tree id       {}{own_tree}\n",
        proof.version,
        hex::encode(first.tree_id)
    );
    if let Some(record) = &proof.record {
        let commit_id = hex::encode(record.commit_id());
        text += &format!("  commit id     {commit_id}{own_commit}\n");
    }
    text + &format!(
        "  state digest  {}{own_state}\n  kzg root      {}{own_kzg_root}\n  slots used    {} of {}\n",
        hex::encode(first.state_digest),
        hex::encode(first.kzg_root),
        slots_used(proof),
        proof.slots.len(),
    )
}

fn headline(trusted: &[Expected], binding: AuditBinding) -> String {
    let names: Vec<&str> = trusted.iter().filter_map(name).collect();
    match binding {
        AuditBinding::Nothing => {
            "state digest and kzg root belong together; nothing says that they are the right ones\n\
             (compare them with one that you trust, or name that by --root or --commit-id)\n"
                .to_owned()
        }
        AuditBinding::KzgRoot => format!(
            "PROVEN against the trusted {}, which leaves two bits of each slot digest open:\n\
             name the state digest or the commit id to bind the state digest too\n",
            names.join(" and ")
        ),
        AuditBinding::BothRoots => format!("PROVEN against the trusted {}\n", names.join(" and ")),
    }
}

fn is_commit_bound(verified: &[VerifiedAudit<'_>]) -> bool {
    verified
        .iter()
        .any(|verified| verified.trusted_version.is_some())
}

fn slots_used(proof: &AuditProof) -> usize {
    let slots = proof.slots.iter();
    slots.filter(|digest| **digest != [0; 32]).count()
}

/// The verdict for programs.
#[derive(Serialize)]
struct Json {
    proven: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The trusted things that were checked; none if the proof agrees with itself alone.
    bound_to: Vec<&'static str>,
    tree_id: String,
    version: u64,
    /// Whether something trusted vouches for version and commit id, or the proof alone.
    commit_is_bound: bool,
    /// Whether something trusted vouches for the state digest.
    state_digest_is_bound: bool,
    /// Whether something trusted vouches for the KZG root.
    kzg_root_is_bound: bool,
    /// Roots, commit id and slot digests, shown only if proven.
    state_digest: Option<String>,
    kzg_root: Option<String>,
    commit_id: Option<String>,
    slots: Vec<String>,
}

impl Json {
    fn of(proof: &AuditProof, trusted: &[Expected], verdict: &Verdict<'_>) -> Self {
        let verified = verdict.as_deref().unwrap_or_default();
        let (first, binding) = (verified.first(), binding(verified));
        let bound_to = trusted.iter().filter_map(name);
        Self {
            proven: verdict.is_ok(),
            reason: verdict.as_ref().err().map(ToString::to_string),
            bound_to: bound_to.filter(|_| first.is_some()).collect(),
            tree_id: hex::encode(proof.params.tree_id()),
            version: proof.version,
            commit_is_bound: is_commit_bound(verified),
            state_digest_is_bound: binding == AuditBinding::BothRoots,
            kzg_root_is_bound: binding != AuditBinding::Nothing,
            state_digest: first.map(|verified| hex::encode(verified.state_digest)),
            kzg_root: first.map(|verified| hex::encode(verified.kzg_root)),
            commit_id: first.and_then(|_| {
                let record = proof.record.as_ref()?;
                Some(hex::encode(record.commit_id()))
            }),
            slots: first.map_or_else(Vec::new, |verified| {
                verified.slots.iter().map(hex::encode).collect()
            }),
        }
    }
}
