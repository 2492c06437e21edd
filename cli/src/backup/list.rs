//! `backup list`: lists the bases of an archive and the versions that can be restored.

use clap::Args;
use serde_json::{Value, json};
use trunkline_archive::{Archive, Catalog};

use super::attend::attend;
use crate::Exit;
use crate::error::CommandError;
use crate::inspect::date;
use crate::interrupt::Interrupt;
use crate::output::{self, byte_size, grouped};

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// Archive: s3://bucket/prefix, or a directory.
    #[arg(long, value_name = "URL|DIR")]
    from: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &ListArguments) -> Result<Exit, CommandError> {
    let archive = Archive::at(&arguments.from)?;
    let interrupt = Interrupt::listen()?;
    let work = async {
        let params = archive.params().await?;
        Ok::<_, CommandError>((params.tree_id(), archive.catalog().await?))
    };
    let Some(listed) = attend("list", &archive, &interrupt, work)? else {
        return Ok(Exit::Interrupted);
    };
    let (tree_id, catalog) = listed?;
    output::print_either(
        arguments.json,
        || json(&tree_id, &catalog),
        || text(&tree_id, &catalog),
    )?;
    Ok(Exit::Done)
}

fn text(tree_id: &[u8; 32], catalog: &Catalog) -> String {
    let mut text = format!("tree id         {}\n", hex::encode(tree_id));
    for base in catalog.bases() {
        text += &format!(
            "base            version {}, open epoch {}, finished {}\n",
            grouped(base.version),
            base.open_epoch,
            date(catalog.finished_unix_ms(&base)),
        );
    }
    for base in catalog.unfinished() {
        let version = grouped(base.version);
        text += &format!(
            "unfinished base version {version}, open epoch {}\n",
            base.open_epoch
        );
    }
    text += &format!(
        "segments        {}\nbytes           {}\n",
        grouped(catalog.segments().count() as u64),
        byte_size(catalog.bytes()),
    );
    for other in catalog.others() {
        text += &format!("unknown object  {other}\n");
    }
    text + &match catalog.route(None) {
        Ok(route) => format!("last version    {}\n", grouped(route.version)),
        Err(error) => format!("last version    none: {error}\n"),
    }
}

fn json(tree_id: &[u8; 32], catalog: &Catalog) -> Value {
    let bases = catalog.bases().map(|base| {
        json!({
            "version": base.version,
            "open_epoch": base.open_epoch,
            "finished_unix_ms": catalog.finished_unix_ms(&base),
        })
    });
    let segments = catalog.segments().map(|segment| {
        json!({
            "first_version": segment.first_version,
            "last_version": segment.last_version,
            "open_epoch": segment.open_epoch,
        })
    });
    let unfinished = catalog.unfinished().map(|base| base.version);
    let route = catalog.route(None);
    json!({
        "tree_id": hex::encode(tree_id),
        "bases": bases.collect::<Vec<_>>(),
        "segments": segments.collect::<Vec<_>>(),
        "unfinished": unfinished.collect::<Vec<_>>(),
        "others": catalog.others(),
        "bytes": catalog.bytes(),
        "last_version": route.as_ref().ok().map(|route| route.version),
        "problem": route.err().map(|error| error.to_string()),
    })
}
