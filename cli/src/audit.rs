//! `audit`: makes and checks the proof that ties the state digest of a version to its KZG root.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use trunkline::core::audit::{
    AuditBinding, AuditProof, ENCODED_BYTES_MAX, VerifiedAudit, VerifyAuditError, verify,
};
use trunkline::core::hash::Digest;
use trunkline::core::proof::Expected;

use crate::arguments::{Hex32, TrustedRoot, parse_digest, parse_root};
use crate::error::CommandError;
use crate::output::{byte_size, root_lines, unless};
use crate::single::open_read_only;
use crate::verdict::{CONSISTENT, OWN_WORD, names};
use crate::{Exit, input, output, verdict};

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Write the audit proof of the last durable version: its 128 slot digests and an opening.
    Prove(ProveArguments),
    /// Check an audit proof. Exit code 0 if proven, 1 if refused, 2 if the input is unusable, 3 if the proof is
    /// consistent and nothing was trusted.
    Verify(VerifyArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ProveArguments {
    /// Directory of the state.
    #[arg(long)]
    dir: PathBuf,
    /// Output file of the audit proof; - is standard output.
    #[arg(long)]
    out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// File of the audit proof; - is standard input.
    file: PathBuf,
    /// Trusted root in hex: a state digest (32 bytes) or a KZG root (48 bytes); may be repeated to give
    /// both. Needs --tree-id or --commit-id. A KZG root alone does not bind the state digest.
    #[arg(long = "root", value_name = "ROOT", value_parser = parse_root)]
    roots: Vec<TrustedRoot>,
    /// Trusted commit id in hex (32 bytes): also binds the version.
    #[arg(long, value_name = "HEX", value_parser = parse_digest)]
    commit_id: Option<Hex32>,
    /// Trusted tree id in hex (32 bytes), with --root.
    #[arg(long, value_name = "HEX", value_parser = parse_digest, requires = "roots")]
    tree_id: Option<Hex32>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: &AuditCommand) -> Result<Exit, CommandError> {
    match command {
        AuditCommand::Prove(arguments) => prove(arguments),
        AuditCommand::Verify(arguments) => check(arguments),
    }
}

fn prove(arguments: &ProveArguments) -> Result<Exit, CommandError> {
    let snapshot = open_read_only(&arguments.dir)?.snapshot();
    let bytes = snapshot.audit().encode()?;
    if output::write(&arguments.out, &bytes)? {
        output::show(format!(
            "an audit proof of version {}, {}: {}\n{}",
            snapshot.version(),
            byte_size(bytes.len() as u64),
            arguments.out.display(),
            root_lines(&snapshot.root())
        ));
    }
    Ok(Exit::Done)
}

fn check(arguments: &VerifyArguments) -> Result<Exit, CommandError> {
    let file = &arguments.file;
    let proof = input::decode(
        file,
        ENCODED_BYTES_MAX,
        "an audit proof",
        AuditProof::decode,
    )?;
    let trusted = trusted(arguments, proof.params.tree_id())?;
    let trusts = !names(&trusted).is_empty();
    let verified = trusted.iter().map(|trusted| verify(&proof, trusted));
    let verified: Result<Vec<VerifiedAudit<'_>>, VerifyAuditError> = verified.collect();
    let verified = verified.map(|all| Bound::of(&proof, &trusted, all));
    let text = |bound: &Option<Bound<'_>>| match bound {
        Some(bound) => bound.text(),
        None => String::new(),
    };
    let fields = |bound: Option<&Option<Bound<'_>>>| fields(&proof, bound.and_then(Option::as_ref));
    verdict::print(arguments.json, trusts, &verified, text, fields)
}

/// Returns the values that the user trusts, or the roots that the proof carries if the user names none.
fn trusted(arguments: &VerifyArguments, own: Digest) -> Result<Vec<Expected>, CommandError> {
    let is_commit_trusted = arguments.commit_id.is_some();
    let tree_id =
        verdict::tree_of_roots(&arguments.roots, arguments.tree_id, is_commit_trusted, own)?;
    let roots = arguments.roots.iter().map(|root| root.expected(tree_id));
    let commit_id = arguments.commit_id.map(|id| Expected::CommitId(id.0));
    let trusted: Vec<Expected> = roots.chain(commit_id).collect();
    Ok(match trusted.is_empty() {
        true => vec![Expected::Carried],
        false => trusted,
    })
}

/// An audit proof that holds, with the parts that the trusted values bind.
struct Bound<'a> {
    proof: &'a AuditProof,
    audit: VerifiedAudit<'a>,
    names: Vec<&'static str>,
    commit: bool,
    kzg_root: bool,
    state_digest: bool,
}

impl<'a> Bound<'a> {
    fn of(
        proof: &'a AuditProof,
        trusted: &[Expected],
        all: Vec<VerifiedAudit<'a>>,
    ) -> Option<Self> {
        let has = |holds: &dyn Fn(&VerifiedAudit<'a>) -> bool| all.iter().any(holds);
        Some(Self {
            proof,
            names: names(trusted),
            commit: has(&|one| one.trusted_version.is_some()),
            kzg_root: has(&|one| one.binding != AuditBinding::Nothing),
            state_digest: has(&|one| one.binding == AuditBinding::BothRoots),
            audit: all.into_iter().next()?,
        })
    }

    fn text(&self) -> String {
        let own_commit = unless(self.commit, OWN_WORD);
        let own_tree = unless(!self.names.is_empty(), OWN_WORD);
        let used = self.proof.slots.iter().filter(|digest| **digest != [0; 32]);
        let mut text = self.headline();
        text += &format!(
            "  version       {}{own_commit}\n  tree id       {}{own_tree}\n",
            self.proof.version,
            hex::encode(self.audit.tree_id)
        );
        if let Some(commit_id) = self.commit_id() {
            text += &format!("  commit id     {commit_id}{own_commit}\n");
        }
        text + &format!(
            "  state digest  {}{}\n  kzg root      {}{}\n  slots used    {} of {}\n",
            hex::encode(self.audit.state_digest),
            unless(self.state_digest, OWN_WORD),
            hex::encode(self.audit.kzg_root),
            unless(self.kzg_root, OWN_WORD),
            used.count(),
            self.proof.slots.len(),
        )
    }

    fn headline(&self) -> String {
        let names = self.names.join(" and ");
        match (self.kzg_root, self.state_digest) {
            (_, true) => format!("PROVEN against the trusted {names}\n"),
            (true, _) => format!(
                "PROVEN against the trusted {names}, which leaves two bits of each slot digest open:\n\
                 name the state digest or the commit id to bind the state digest too\n"
            ),
            _ => CONSISTENT.to_owned(),
        }
    }

    fn commit_id(&self) -> Option<String> {
        let record = self.proof.record.as_ref()?;
        Some(hex::encode(record.commit_id()))
    }
}

/// Returns the fields of the JSON verdict. Roots, the commit id and slot digests are included only if proven.
fn fields(proof: &AuditProof, bound: Option<&Bound<'_>>) -> Value {
    let slots = bound.iter().flat_map(|bound| bound.audit.slots.iter());
    json!({
        "bound_to": bound.map_or(&[][..], |bound| &bound.names),
        "tree_id": hex::encode(proof.params.tree_id()),
        "version": proof.version,
        "commit_is_bound": bound.is_some_and(|bound| bound.commit),
        "state_digest_is_bound": bound.is_some_and(|bound| bound.state_digest),
        "kzg_root_is_bound": bound.is_some_and(|bound| bound.kzg_root),
        "state_digest": bound.map(|bound| hex::encode(bound.audit.state_digest)),
        "kzg_root": bound.map(|bound| hex::encode(bound.audit.kzg_root)),
        "commit_id": bound.and_then(Bound::commit_id),
        "slots": slots.map(hex::encode).collect::<Vec<_>>(),
    })
}
