//! Reports the result of a check: as lines for people, as JSON for programs, and by the exit code.

use std::error::Error;

use serde::Serialize;
use serde_json::Value;
use trunkline::core::proof::Expected;

use crate::Exit;
use crate::error::CommandError;
use crate::output;

/// Marks a line that nothing trusted vouches for.
pub(crate) const OWN_WORD: &str = ", stated by the proof alone";

#[derive(Serialize)]
struct Json {
    proven: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(flatten)]
    fields: Value,
}

/// Prints whether something is proven, and what it says. `fields` gets nothing if it is not proven.
pub(crate) fn print<T>(
    json: bool,
    verified: &Result<T, impl Error>,
    text: impl FnOnce(&T) -> String,
    fields: impl FnOnce(Option<&T>) -> Value,
) -> Result<Exit, CommandError> {
    let reason = verified.as_ref().err().map(ToString::to_string);
    match (verified, json) {
        (Ok(verified), false) => output::show(text(verified)),
        (Err(error), false) => output::show(format!("NOT PROVEN: {error}\n")),
        (verified, true) => output::show_json(&Json {
            proven: verified.is_ok(),
            reason,
            fields: fields(verified.as_ref().ok()),
        }),
    }
    Ok(Exit::of(verified.is_ok()))
}

/// Returns the names of the trusted things that something was checked against.
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
