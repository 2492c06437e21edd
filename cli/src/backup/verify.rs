//! `backup verify`: checks an archive against itself, and against the values that are trusted about it.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use trunkline::Config;
use trunkline_archive::{Archive, Shown, Verified};

use super::attend::attend;
use crate::Exit;
use crate::error::CommandError;
use crate::interrupt::Interrupt;
use crate::output::{self, counted, grouped};
use crate::restore::TrustArguments;
use crate::temporary::Temporary;

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// Archive: s3://bucket/prefix, or a directory.
    #[arg(long, value_name = "URL|DIR")]
    from: String,
    /// Check only the objects, and rebuild nothing. This shows less: that no object has changed since it was written.
    #[arg(long, conflicts_with_all = ["commit_id", "public_key"])]
    objects_only: bool,
    /// Parent of the temporary directory in which states are rebuilt. It needs room for the state.
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustArguments,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &VerifyArguments) -> Result<Exit, CommandError> {
    let archive = Archive::at(&arguments.from)?;
    let interrupt = Interrupt::listen()?;
    let temporary = Temporary::new(arguments.scratch.as_deref())?;
    let config = Config::in_directory(temporary.path().join("state"));
    let rebuild = (!arguments.objects_only).then_some(&config);
    let trust = arguments.trust.trust();
    let work = archive.verify(rebuild, &trust);
    let Some(found) = attend("verify", &archive, &interrupt, work)? else {
        return Ok(Exit::Interrupted);
    };
    let found = found?;
    temporary.remove()?;
    let result = result(&found, !arguments.trust.is_empty());
    output::show_either(
        arguments.json,
        || json(&found, result),
        || text(&found, result),
    );
    Ok(match result {
        _ if !found.is_whole() => Exit::Failed,
        "consistent" => Exit::Consistent,
        "not authentic" => Exit::Failed,
        _ => Exit::Done,
    })
}

/// Returns the result in words, which never claim more than was shown.
fn result(found: &Verified, is_trusting: bool) -> &'static str {
    match found.shown {
        _ if !found.is_whole() => "damaged",
        None => "objects unchanged",
        Some(Shown::Authentic) => "authentic",
        Some(Shown::Consistent) if is_trusting => "not authentic",
        Some(Shown::Consistent) => "consistent",
    }
}

fn text(found: &Verified, result: &str) -> String {
    let mut text = format!("{}\n", result.to_uppercase());
    for (object, error) in &found.damaged {
        text += &format!(
            "damaged   {object}: {}\n",
            trunkline_load::error_chain(error)
        );
    }
    for (first, last) in &found.holes {
        text += &format!(
            "missing   versions {first} to {last}; make a new base with `trunkline backup --base`\n"
        );
    }
    for (first, last) in &found.lost {
        text +=
            &format!("gap       versions {first} to {last} cannot be restored; later ones can\n");
    }
    for (base, last) in &found.rebuilt {
        text += &format!(
            "rebuilt   versions {} to {}, commit id {}\n",
            grouped(base.version),
            grouped(last.version),
            hex::encode(last.commit_id),
        );
    }
    for base in &found.unfinished {
        text += &format!(
            "note      the base of version {} is unfinished\n",
            base.version
        );
    }
    for other in &found.others {
        text += &format!("note      unknown object {other}\n");
    }
    text += &format!("checked   {}\n", counted(found.objects, "object"));
    text + match result {
        "consistent" => {
            "Nothing is trusted, so nothing shows who wrote the archive; name what you trust: --commit-id or --public-key\n"
        }
        "not authentic" => {
            "Not everything is shown to be what the trusted key signed: a base has no signed frame of its version or after it\n"
        }
        "objects unchanged" => "No object has changed since it was written; nothing was rebuilt\n",
        _ => "",
    }
}

fn json(found: &Verified, result: &str) -> Value {
    let damaged = found.damaged.iter().map(
        |(object, error)| json!({ "object": object, "error": trunkline_load::error_chain(error) }),
    );
    let rebuilt = found.rebuilt.iter().map(|(base, last)| {
        json!({
            "base": base.version,
            "last_version": last.version,
            "commit_id": hex::encode(last.commit_id),
        })
    });
    let unfinished = found.unfinished.iter().map(|base| base.version);
    json!({
        "result": result,
        "damaged": damaged.collect::<Vec<_>>(),
        "missing": found.holes,
        "gaps": found.lost,
        "rebuilt": rebuilt.collect::<Vec<_>>(),
        "unfinished": unfinished.collect::<Vec<_>>(),
        "others": found.others,
        "objects": found.objects,
    })
}
