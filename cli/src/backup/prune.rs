//! `backup prune`: removes bases, and the segments that only they need.

use std::num::NonZeroUsize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::{Value, json};
use trunkline_archive::{Archive, Keep, Prunable};

use super::attend::attend;
use crate::Exit;
use crate::arguments::parse_count;
use crate::error::CommandError;
use crate::interrupt::Interrupt;
use crate::output::{self, byte_size, counted};

/// Most days that can be kept: longer than the age of any archive.
const DAYS_MAX: usize = 100_000;

#[derive(Debug, Args)]
pub(crate) struct PruneArguments {
    /// Archive: s3://bucket/prefix, or a directory.
    #[arg(long, value_name = "URL|DIR")]
    from: String,
    /// Newest bases to keep, with every version after the oldest of them.
    #[arg(long, value_name = "COUNT", required_unless_present = "keep_days", value_parser = parse_count::<1_000_000>)]
    keep_bases: Option<NonZeroUsize>,
    /// Days for which every archived version stays restorable.
    #[arg(long, value_name = "DAYS", value_parser = parse_count::<DAYS_MAX>)]
    keep_days: Option<NonZeroUsize>,
    /// Remove unfinished bases, too. Use it only while no backup is running, which would lose its parts.
    #[arg(long)]
    unfinished: bool,
    /// Show what would be removed, and remove nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &PruneArguments) -> Result<Exit, CommandError> {
    let archive = Archive::at(&arguments.from)?;
    let interrupt = Interrupt::listen()?;
    let keep = Keep {
        bases: arguments.keep_bases.map_or(1, NonZeroUsize::get),
        since_unix_ms: arguments.keep_days.map(since_unix_ms),
        unfinished: !arguments.unfinished,
    };
    let work = async {
        archive.params().await?;
        let prunable = archive.catalog().await?.prunable(&keep);
        if !arguments.dry_run {
            archive.prune(&prunable).await?;
        }
        Ok::<_, CommandError>(prunable)
    };
    let Some(pruned) = attend("prune", &archive, &interrupt, work)? else {
        return Ok(Exit::Interrupted);
    };
    let pruned = pruned?;
    let is_dry = arguments.dry_run;
    output::show_either(
        arguments.json,
        || json(&pruned, is_dry),
        || text(&pruned, is_dry),
    );
    Ok(Exit::Done)
}

/// Returns the time this many days ago.
fn since_unix_ms(days: NonZeroUsize) -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let kept = Duration::from_secs(24 * 3600).saturating_mul(days.get().min(DAYS_MAX) as u32);
    now.saturating_sub(kept).as_millis() as u64
}

fn text(pruned: &Prunable, is_dry: bool) -> String {
    if pruned.is_empty() {
        return "nothing to remove\n".to_owned();
    }
    format!(
        "{} {}, {} and {} ({})\n",
        if is_dry { "would remove" } else { "removed" },
        counted(pruned.bases.len() as u64, "base"),
        counted(pruned.unfinished.len() as u64, "unfinished base"),
        counted(pruned.segments.len() as u64, "segment"),
        byte_size(pruned.bytes),
    )
}

fn json(pruned: &Prunable, is_dry: bool) -> Value {
    let names = |names: &mut dyn Iterator<Item = String>| names.collect::<Vec<_>>();
    json!({
        "removed": !is_dry && !pruned.is_empty(),
        "bases": names(&mut pruned.bases.iter().map(ToString::to_string)),
        "unfinished": names(&mut pruned.unfinished.iter().map(ToString::to_string)),
        "segments": names(&mut pruned.segments.iter().map(ToString::to_string)),
        "bytes": pruned.bytes,
    })
}
