//! `inspect`: what a directory holds, read as recovery would read it, nothing written; or what engines on it
//! decided.

use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;
use trunkline::decisions::Decision;
use trunkline::{Inspection, OpeningDecisions};

use crate::Exit;
use crate::arguments::InspectArguments;
use crate::error::CommandError;
use crate::output::{self, byte_size, grouped, micros, root_lines};
use crate::show::collision_name;
use crate::single::open_read_only;

pub(crate) fn run(arguments: &InspectArguments) -> Result<Exit, CommandError> {
    if arguments.decisions {
        return decisions(arguments);
    }
    let inspection = open_read_only(&arguments.dir)?.inspect();
    if arguments.json {
        output::print_json(&Json::of(&inspection))?;
    } else {
        output::print(text(&inspection))?;
    }
    Ok(Exit::Done)
}

fn decisions(arguments: &InspectArguments) -> Result<Exit, CommandError> {
    let openings = trunkline::read_decisions(&arguments.dir)?;
    if arguments.json {
        output::print_json(&openings)?;
    } else {
        output::print(decisions_text(&openings))?;
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

/// Last millisecond whose year has four digits.
const DATE_UNIX_MS_MAX: u64 = 253_402_300_799_999;

/// A time in UTC, as far as it can be one.
pub(crate) fn date(unix_ms: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_millis(unix_ms.min(DATE_UNIX_MS_MAX));
    humantime::format_rfc3339_seconds(time).to_string()
}

/// One decision: when, what, why, and what was seen.
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
        "tree\n  collision     {}\n  salt          {}\n",
        collision_name(inspection.params.collision),
        inspection
            .params
            .salt
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
            "in order"
        } else {
            "no: the last process was cut off"
        },
    );
    text
}

#[derive(Serialize)]
struct Json {
    tree_id: String,
    collision: &'static str,
    salt: Option<String>,
    version: u64,
    commit_id: String,
    state_digest: String,
    kzg_root: Option<String>,
    keys: u64,
    last_sequence: u64,
    open_epoch: u64,
    checkpoint_version: u64,
    checkpoint_intent: Option<u64>,
    log_segments: Vec<String>,
    synced_version: u64,
    torn_bytes: u64,
    closed: bool,
}

impl Json {
    fn of(inspection: &Inspection) -> Self {
        let survey = &inspection.survey;
        Self {
            tree_id: hex::encode(inspection.tree_id),
            collision: collision_name(inspection.params.collision),
            salt: inspection.params.salt.map(hex::encode),
            version: inspection.root.version,
            commit_id: hex::encode(inspection.root.commit_id),
            state_digest: hex::encode(inspection.root.state_digest),
            kzg_root: inspection.root.kzg_root.map(hex::encode),
            keys: inspection.key_count,
            last_sequence: inspection.record.last_sequence,
            open_epoch: inspection.record.open_epoch,
            checkpoint_version: inspection.checkpoint_version,
            checkpoint_intent: inspection.checkpoint_intent,
            log_segments: survey.segments.iter().map(ToString::to_string).collect(),
            synced_version: survey.synced_version,
            torn_bytes: survey.torn_bytes,
            closed: survey.closed,
        }
    }
}
