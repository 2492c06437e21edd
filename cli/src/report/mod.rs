//! `report`: shows the results of a run as text, or as one self-contained page with plots, without scripts or network.
//!
//! `page` lays out the page, `plot` draws lines over axes, `pipeline` the timeline of the stages, `control` the decisions
//! and their effects. `scale` maps figures to positions, `label` to texts. maud escapes all text of a run.

mod control;
mod label;
mod page;
mod pipeline;
mod plot;
mod scale;
mod text;

use std::path::PathBuf;

use clap::Args;
use trunkline_load::compare::Recorded;

use crate::Exit;
use crate::error::CommandError;
use crate::output;

pub(crate) use control::{busy_percent, second};
pub(crate) use label::{change, compact, micros};
pub(crate) use text::decisions;

/// Default name of the page in the run's directory.
const PAGE_FILE: &str = "report.html";

#[derive(Debug, Args)]
pub(crate) struct ReportArguments {
    /// Directory of the run.
    #[arg(value_name = "RUN")]
    directory: PathBuf,
    /// Write one self-contained page with plots. Default file: report.html in the run's directory; - is standard output.
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    html: Option<Option<PathBuf>>,
}

pub(crate) fn run(arguments: &ReportArguments) -> Result<Exit, CommandError> {
    let recorded = Recorded::read_from(&arguments.directory)?;
    let Some(file) = &arguments.html else {
        output::print(text::text(&recorded.run))?;
        return Ok(Exit::Done);
    };
    let page = page::page(&recorded).into_string();
    let file = file
        .clone()
        .unwrap_or_else(|| arguments.directory.join(PAGE_FILE));
    if output::write(&file, page.as_bytes())? {
        output::show(format!("{}\n", file.display()));
    }
    Ok(Exit::Done)
}
