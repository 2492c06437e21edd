//! `inspect`: reads a directory as recovery does, without writing to it, or lists the decisions of its engines.

use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use clap::Args;
use serde_json::{Value, json};
use trunkline::decisions::Decision;
use trunkline::{Inspection, OpeningDecisions};

use crate::Exit;
use crate::error::CommandError;
use crate::output::{self, byte_size, grouped, micros, root_lines};
use crate::show::collision_name;
use crate::single::open_read_only;

#[derive(Debug, Args)]
pub(crate) struct InspectArguments {
    /// Directory of the state.
    #[arg(long)]
    dir: PathBuf,
    /// Instead show which settings the engine changed and why, and which were reloaded; works while it runs.
    #[arg(long)]
    decisions: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &InspectArguments) -> Result<Exit, CommandError> {
    if arguments.decisions {
        let openings = trunkline::read_decisions(&arguments.dir)?;
        output::print_either(arguments.json, || &openings, || decisions_text(&openings))?;
    } else {
        let inspection = open_read_only(&arguments.dir)?.inspect();
        output::print_either(arguments.json, || json(&inspection), || text(&inspection))?;
    }
    Ok(Exit::Done)
}

fn decisions_text(openings: &[OpeningDecisions]) -> String {
    if openings.iter().all(|opening| opening.decisions.is_empty()) {
        return "nothing was decided\n".to_owned();
    }
    let mut text = String::new();
    for opening in openings {
        text += &format!("opened {}\n", date(opening.opened_unix_ms));
        for decision in &opening.decisions {
            text += &format!("  {}\n", decision_line(decision));
        }
    }
    text
}

/// Last millisecond of the year 9999.
const DATE_UNIX_MS_MAX: u64 = 253_402_300_799_999;

/// Returns a time in UTC. A time after the year 9999 becomes the last one of it.
pub(crate) fn date(unix_ms: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_millis(unix_ms.min(DATE_UNIX_MS_MAX));
    humantime::format_rfc3339_seconds(time).to_string()
}

/// Returns a decision in one line: its time, change, reason and figures.
pub(crate) fn decision_line(decision: &Decision) -> String {
    let seconds = decision.at_us as f64 / 1e6;
    let mut line = format!("{seconds:>9.1} s  {}: {}", decision.change, decision.reason);
    let seen = &decision.seen;
    if seen.samples > 0 {
        line += &format!(
            " (p99 {} of {}, {} operations/s, {} of 1,000 groups full, busiest stage {} of 1,000)",
            micros(seen.durable_p99_us),
            micros(seen.target_p99_us),
            grouped(seen.operations_per_second),
            seen.full_per_mille,
            seen.busiest_per_mille,
        );
    }
    if let Some(evidence) = &seen.evidence {
        line += &format!("; {evidence}");
    }
    line
}

fn text(inspection: &Inspection) -> String {
    let survey = &inspection.survey;
    let mut text = format!(
        "tree\n  nonce         {}\n  collision     {}\n  salt          {}\n",
        hex::encode(inspection.params.nonce),
        collision_name(inspection.params.collision),
        inspection
            .params
            .salt_bytes()
            .map_or("none".to_owned(), hex::encode),
    );
    text += &format!("last root\n{}", root_lines(&inspection.root));
    text += &format!(
        "state\n  keys          {}\n  submissions   {}\n  open epoch    {}\n",
        grouped(inspection.key_count),
        grouped(inspection.record.last_sequence),
        inspection.record.open_epoch,
    );
    text += &format!(
        "storage\n  checkpoint    version {}{}\n  log segments  {}\n  synced up to  version {}\n  torn tail     {}\n  closed        {}\n",
        inspection.checkpoint_version,
        match inspection.checkpoint_intent {
            Some(version) => format!(", one of version {version} was begun"),
            None => String::new(),
        },
        survey.segments.len(),
        survey.synced_version,
        byte_size(survey.torn_bytes),
        if survey.closed {
            "cleanly"
        } else {
            "no: the last process did not shut down"
        },
    );
    text
}

fn json(inspection: &Inspection) -> Value {
    let (root, survey) = (&inspection.root, &inspection.survey);
    let segments = survey.segments.iter().map(ToString::to_string);
    json!({
        "tree_id": hex::encode(inspection.tree_id),
        "collision": collision_name(inspection.params.collision),
        "nonce": hex::encode(inspection.params.nonce),
        "salt": inspection.params.salt_bytes().map(hex::encode),
        "version": root.version,
        "commit_id": hex::encode(root.commit_id),
        "state_digest": hex::encode(root.state_digest),
        "kzg_root": root.kzg_root.map(hex::encode),
        "keys": inspection.key_count,
        "last_sequence": inspection.record.last_sequence,
        "open_epoch": inspection.record.open_epoch,
        "checkpoint_version": inspection.checkpoint_version,
        "checkpoint_intent": inspection.checkpoint_intent,
        "log_segments": segments.collect::<Vec<_>>(),
        "synced_version": survey.synced_version,
        "torn_bytes": survey.torn_bytes,
        "closed": survey.closed,
    })
}
