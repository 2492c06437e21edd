//! Reports the result of a check: as lines for people, as JSON for programs, and as an exit code.

use std::error::Error;

use serde::Serialize;
use serde_json::Value;
use trunkline::core::hash::Digest;
use trunkline::core::proof::Expected;

use crate::Exit;
use crate::arguments::{Hex32, TrustedRoot};
use crate::error::CommandError;
use crate::output;

/// The headline of a check that holds with nothing trusted.
pub(crate) const CONSISTENT: &str = "CONSISTENT: the proof agrees with itself, and nothing is proven, since nothing is trusted\n\
     (name what you trust: --commit-id, or --root with --tree-id)\n";
/// Marks a line that nothing trusted confirms.
pub(crate) const OWN_WORD: &str = ", stated by the proof alone";

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// The claim follows from the trusted values.
    Proven,
    /// The proof is consistent. Nothing is trusted, so nothing is proven.
    Consistent,
    /// A rule is broken.
    Refused,
}

impl From<Verdict> for Exit {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Proven => Self::Done,
            Verdict::Consistent => Self::Consistent,
            Verdict::Refused => Self::Failed,
        }
    }
}

#[derive(Serialize)]
struct Json {
    result: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(flatten)]
    fields: Value,
}

/// Returns the tree id for trusted roots: the named one, or `own`, the tree id of the proof, if a trusted commit id
/// binds it.
///
/// # Errors
///
/// Fails if roots are trusted and nothing identifies their tree.
pub(crate) fn tree_of_roots(
    roots: &[TrustedRoot],
    tree_id: Option<Hex32>,
    is_commit_trusted: bool,
    own: Digest,
) -> Result<Digest, CommandError> {
    match tree_id {
        Some(tree_id) => Ok(tree_id.0),
        None if roots.is_empty() || is_commit_trusted => Ok(own),
        None => Err(CommandError::RootOfNoTree),
    }
}

/// Prints whether a claim is proven, and its content. `trusts` says whether the user trusts anything. `fields` gets
/// `None` if the check is refused.
pub(crate) fn print<T>(
    json: bool,
    trusts: bool,
    verified: &Result<T, impl Error>,
    text: impl FnOnce(&T) -> String,
    fields: impl FnOnce(Option<&T>) -> Value,
) -> Result<Exit, CommandError> {
    let reason = verified.as_ref().err().map(ToString::to_string);
    let verdict = match verified {
        Ok(_) if trusts => Verdict::Proven,
        Ok(_) => Verdict::Consistent,
        Err(_) => Verdict::Refused,
    };
    match (verified, json) {
        (Ok(verified), false) => output::show(text(verified)),
        (Err(error), false) => output::show(format!("REFUSED: {error}\n")),
        (verified, true) => output::show_json(&Json {
            result: verdict,
            reason,
            fields: fields(verified.as_ref().ok()),
        }),
    }
    Ok(verdict.into())
}

/// Returns the names of the trusted values of a check.
pub(crate) fn names(trusted: &[Expected]) -> Vec<&'static str> {
    let name = |expected: &Expected| match expected {
        Expected::Root(_) => Some("root"),
        Expected::CommitId(_) => Some("commit id"),
        Expected::StateDigest { .. } => Some("state digest"),
        Expected::KzgRoot { .. } => Some("kzg root"),
        Expected::Carried => None,
    };
    trusted.iter().filter_map(name).collect()
}
