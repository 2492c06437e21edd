//! `prove`: a proof of some keys at the last durable version, written to a file.

use std::path::Path;

use serde::Serialize;
use trunkline::core::proof::{Claim, Proof};
use trunkline::core::record::Root;
use trunkline::{ProveOptions, ShownValues, TopKind};

use crate::arguments::{ProveArguments, Top};
use crate::error::CommandError;
use crate::output::{byte_size, grouped, root_lines};
use crate::single::open_read_only;
use crate::{Exit, output};

pub(crate) fn run(arguments: &ProveArguments) -> Result<Exit, CommandError> {
    let snapshot = open_read_only(&arguments.dir)?.snapshot();
    let keys = arguments.keys.iter().map(|key| &key.0);
    let proof = snapshot.prove_with(keys, &options(arguments))?;
    let bytes = proof.encode()?;
    if arguments.out == Path::new("-") {
        output::print(&bytes)?;
        return Ok(Exit::Done);
    }
    std::fs::write(&arguments.out, &bytes).map_err(CommandError::file("write", &arguments.out))?;
    let made = Made::of(&proof, bytes.len());
    let root = snapshot.root();
    if arguments.json {
        output::print_json(&Json::of(&made, &root, &arguments.out))?;
        return Ok(Exit::Done);
    }
    output::print(format!("{}: {}\n", made.summary(), arguments.out.display()))?;
    output::print(root_lines(&root))?;
    Ok(Exit::Done)
}

fn options(arguments: &ProveArguments) -> ProveOptions {
    ProveOptions {
        top: match arguments.top {
            Top::Kzg => TopKind::Kzg,
            Top::Hash => TopKind::Hash,
        },
        values: match arguments.value_bytes_max {
            None => ShownValues::All,
            Some(0) => ShownValues::None,
            Some(value_bytes_max) => ShownValues::UpTo { value_bytes_max },
        },
    }
}

/// What was made.
struct Made {
    present: usize,
    absent: usize,
    version: u64,
    bytes: usize,
}

impl Made {
    fn of(proof: &Proof, bytes: usize) -> Self {
        let entries = || proof.versions.iter().flat_map(|version| &version.entries);
        let absent = entries()
            .filter(|entry| entry.claim == Claim::Absent)
            .count();
        Self {
            present: entries().count() - absent,
            absent,
            version: proof.versions.first().map_or(0, |version| version.version),
            bytes,
        }
    }

    fn summary(&self) -> String {
        format!(
            "a proof of {} present and {} absent keys at version {}, {}",
            grouped(self.present as u64),
            grouped(self.absent as u64),
            self.version,
            byte_size(self.bytes as u64)
        )
    }
}

/// What was made, for programs, with the root to hold on to.
#[derive(Serialize)]
struct Json {
    file: String,
    bytes: usize,
    present: usize,
    absent: usize,
    version: u64,
    tree_id: String,
    commit_id: String,
    state_digest: String,
    kzg_root: Option<String>,
}

impl Json {
    fn of(made: &Made, root: &Root, file: &Path) -> Self {
        Self {
            file: file.display().to_string(),
            bytes: made.bytes,
            present: made.present,
            absent: made.absent,
            version: made.version,
            tree_id: hex::encode(root.tree_id),
            commit_id: hex::encode(root.commit_id),
            state_digest: hex::encode(root.state_digest),
            kzg_root: root.kzg_root.map(hex::encode),
        }
    }
}
