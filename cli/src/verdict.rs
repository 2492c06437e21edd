//! How the result of a check is told: in lines for people, in JSON for programs, and by the exit code.
//!
//! Not here: the check.

use std::error::Error;

use serde::Serialize;

use crate::Exit;
use crate::error::CommandError;
use crate::output;

/// The verdict for programs: what was shown, if it was.
#[derive(Serialize)]
struct Json<T> {
    proven: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(flatten)]
    shown: Option<T>,
}

/// Prints whether something is proven, and what.
pub(crate) fn tell<T, J: Serialize>(
    json: bool,
    verified: Result<T, impl Error>,
    text: impl FnOnce(&T) -> String,
    shown: impl FnOnce(&T) -> J,
) -> Result<Exit, CommandError> {
    match (&verified, json) {
        (Ok(verified), false) => output::print(text(verified))?,
        (Err(error), false) => output::print(format!("NOT PROVEN: {error}\n"))?,
        (verified, true) => output::print_json(&Json {
            proven: verified.is_ok(),
            reason: verified.as_ref().err().map(ToString::to_string),
            shown: verified.as_ref().ok().map(shown),
        })?,
    }
    Ok(match verified {
        Ok(_) => Exit::Done,
        Err(_) => Exit::Failed,
    })
}
