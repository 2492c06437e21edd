//! `check`: reads everything in a directory, names damaged parts, and repairs those that can be rebuilt.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use trunkline::{CheckReport, Finding, RepairError, RepairReport, Repaired};
use trunkline_load::error_chain;

use crate::Exit;
use crate::arguments::{Hex32, parse_digest};
use crate::error::CommandError;
use crate::interrupt::Interrupt;
use crate::output::{self, counted, grouped};
use crate::single::cannot_open;

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// Directory of the state.
    #[arg(long, visible_alias = "directory")]
    dir: PathBuf,
    /// Repair what can be rebuilt from verified data. A replaced file is kept next to the new one, under a name that
    /// ends in -DAMAGED- and a number. Other damage is left as it is.
    #[arg(long)]
    repair: bool,
    /// Commit id of the last version, from a client, a replica or a receipt. If the log ends there, the file that names its
    /// last segment can be repaired.
    #[arg(long, value_name = "HEX", requires = "repair", value_parser = parse_digest)]
    last_commit_id: Option<Hex32>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &CheckArguments) -> Result<Exit, CommandError> {
    Interrupt::clean_up_only()?;
    let report = match arguments.repair {
        true => repair(arguments)?,
        false => {
            let checked = trunkline::check(&arguments.dir);
            let report = checked.map_err(cannot_open(&arguments.dir))?;
            output::show_either(arguments.json, || json(&report), || text(&report));
            report
        }
    };
    Ok(Exit::of(report.is_sound()))
}

fn repair(arguments: &CheckArguments) -> Result<CheckReport, CommandError> {
    let known_last = arguments.last_commit_id.map(|id| id.0);
    let repaired = trunkline::repair(&arguments.dir, known_last);
    let report = repaired.map_err(|error| match error {
        RepairError::Open(error) => cannot_open(&arguments.dir)(error),
        error => CommandError::Repair(Box::new(error)),
    })?;
    output::show_either(
        arguments.json,
        || repair_json(&report),
        || repair_text(&report),
    );
    Ok(report.after)
}

fn repair_text(report: &RepairReport) -> String {
    let mut text = String::new();
    if !report.done.is_empty() {
        text += &format!("before\n{}repaired\n", findings_text(&report.before));
    }
    for Repaired { repair, path, kept } in &report.done {
        text += &format!("  {}: {repair}", path.display());
        if let Some(kept) = kept {
            text += &format!("; what was there is in {}", kept.display());
        }
        text += "\n";
    }
    text + &self::text(&report.after)
}

fn text(report: &CheckReport) -> String {
    let mut text = findings_text(report);
    for unchecked in &report.unchecked {
        text += &format!("not checked: {unchecked}\n");
    }
    text += &format!(
        "{} in {}, {} and {} read",
        counted(report.log_versions, "version"),
        counted(report.segments, "log segment"),
        counted(report.commit_ids, "commit id"),
        leaves(report.leaves),
    );
    if report.archived_versions > 0 {
        text += &format!(
            "; {} archived",
            counted(report.archived_versions, "version")
        );
    }
    if let Some(verified) = report.verified {
        let (version, id) = (verified.version, hex::encode(verified.commit_id));
        text += &format!("; state verified up to version {version}, commit id {id}");
    }
    text + match report.is_sound() {
        true => "\nsound\n",
        false => "\ndamaged\n",
    }
}

fn leaves(count: u64) -> String {
    match count {
        1 => "1 leaf".to_owned(),
        _ => format!("{} leaves", grouped(count)),
    }
}

fn findings_text(report: &CheckReport) -> String {
    let mut text: String = report.findings.iter().map(finding_text).collect();
    if report.more_findings > 0 {
        text += &format!("… and {} more findings\n", grouped(report.more_findings));
    }
    text
}

fn finding_text(finding: &Finding) -> String {
    let mut place = finding.path.display().to_string();
    if let Some(offset) = finding.offset {
        place += &format!(", offset {offset}");
    }
    if let Some(versions) = &finding.versions {
        place += &format!(", {}", versions_text(versions));
    }
    let (expected, found) = finding.expected_and_found();
    format!(
        "{}: {place}\n  {}\n  expected  {expected}\n  found     {found}\n  affects   {}\n  to do     {}\n",
        finding.part,
        error_chain(&finding.fault),
        finding.affects(),
        finding.advice(),
    )
}

fn versions_text(versions: &RangeInclusive<u64>) -> String {
    match (*versions.start(), *versions.end()) {
        (start, u64::MAX) => format!("from version {start} on"),
        (start, end) if start == end => format!("version {start}"),
        (start, end) => format!("versions {start} to {end}"),
    }
}

fn repair_json(report: &RepairReport) -> Value {
    let done = report.done.iter().map(|done| {
        json!({
            "path": done.path.display().to_string(),
            "repair": done.repair.to_string(),
            "kept": done.kept.as_ref().map(|kept| kept.display().to_string()),
        })
    });
    json!({
        "before": json(&report.before),
        "repaired": done.collect::<Vec<_>>(),
        "after": json(&report.after),
    })
}

fn json(report: &CheckReport) -> Value {
    let position = |position: Option<trunkline::core::store::log::LogPosition>| {
        position.map(|position| {
            json!({
                "version": position.version,
                "commit_id": hex::encode(position.commit_id),
            })
        })
    };
    json!({
        "sound": report.is_sound(),
        "tree_id": report.tree_id.map(hex::encode),
        "checkpoint_version": report.checkpoint_version,
        "log_segments": report.segments,
        "log_versions": report.log_versions,
        "torn_bytes": report.torn_bytes,
        "commit_ids": report.commit_ids,
        "leaves": report.leaves,
        "archived_versions": report.archived_versions,
        "last": position(report.last),
        "verified": position(report.verified),
        "findings": report.findings.iter().map(finding_json).collect::<Vec<_>>(),
        "more_findings": report.more_findings,
        "unchecked": report.unchecked,
    })
}

fn finding_json(finding: &Finding) -> Value {
    let (expected, found) = finding.expected_and_found();
    let end = |versions: &RangeInclusive<u64>| Some(*versions.end()).filter(|end| *end != u64::MAX);
    json!({
        "part": finding.part.to_string(),
        "damage": finding.is_damage(),
        "path": finding.path.display().to_string(),
        "offset": finding.offset,
        "first_version": finding.versions.as_ref().map(|versions| *versions.start()),
        "last_version": finding.versions.as_ref().and_then(end),
        "message": error_chain(&finding.fault),
        "expected": expected,
        "found": found,
        "affects": finding.affects(),
        "advice": finding.advice(),
        "repairable": finding.repair.is_some(),
    })
}
