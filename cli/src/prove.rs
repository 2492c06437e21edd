//! `prove`: a proof of some keys at the last durable version, written to a file.

use std::path::Path;

use trunkline::TopKind;
use trunkline::core::proof::{Claim, Proof};

use crate::arguments::{ProveArguments, Top};
use crate::error::CommandError;
use crate::output::{byte_size, grouped, root_lines};
use crate::single::open_read_only;
use crate::{Exit, output};

pub(crate) fn run(arguments: &ProveArguments) -> Result<Exit, CommandError> {
    let snapshot = open_read_only(&arguments.dir)?.snapshot();
    let top = match arguments.top {
        Top::Kzg => TopKind::Kzg,
        Top::Hash => TopKind::Hash,
    };
    let proof = snapshot.prove(arguments.keys.iter().map(|key| &key.0), top)?;
    let bytes = proof.encode()?;
    if arguments.out == Path::new("-") {
        output::print(&bytes)?;
        return Ok(Exit::Done);
    }
    std::fs::write(&arguments.out, &bytes).map_err(CommandError::file("write", &arguments.out))?;
    let summary = summary(&proof, bytes.len());
    output::print(format!("{summary}: {}\n", arguments.out.display()))?;
    output::print(root_lines(&snapshot.root()))?;
    Ok(Exit::Done)
}

fn summary(proof: &Proof, bytes: usize) -> String {
    let claims = proof.entries.iter().map(|entry| &entry.claim);
    let absent = claims.filter(|claim| **claim == Claim::Absent).count();
    let present = proof.entries.len() - absent;
    format!(
        "a proof of {} present and {} absent keys at version {}, {}",
        grouped(present as u64),
        grouped(absent as u64),
        proof.version,
        byte_size(bytes as u64)
    )
}
