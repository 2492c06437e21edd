//! `report`: what came out of a run. As text, or as one page with plots that needs nothing else: no script, no
//! network, light and dark.
//!
//! `page` says what stands where, `plot` draws lines over axes, `pipeline` the timeline of the stages, `control` what
//! was decided and what it changed; `scale` and `label` are where places and texts of figures come from. All text
//! of a run goes through maud, which escapes it.

mod control;
mod label;
mod page;
mod pipeline;
mod plot;
mod scale;
mod text;

use std::path::{Path, PathBuf};

use clap::Args;
use trunkline_load::compare::Recorded;

use crate::Exit;
use crate::error::CommandError;
use crate::output;

pub(crate) use control::busy_percent;
pub(crate) use label::{change, compact, micros};
pub(crate) use text::decisions;

/// Name of the page in a run's directory, if no other is given.
const PAGE_FILE: &str = "report.html";

#[derive(Debug, Args)]
pub(crate) struct ReportArguments {
    /// Directory of the run.
    #[arg(value_name = "RUN")]
    directory: PathBuf,
    /// Write one self-contained page with plots; without a file to report.html in the run's directory, - is standard
    /// output.
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
    if file.as_deref() == Some(Path::new("-")) {
        output::print(page)?;
        return Ok(Exit::Done);
    }
    let file = file
        .clone()
        .unwrap_or_else(|| arguments.directory.join(PAGE_FILE));
    std::fs::write(&file, page).map_err(CommandError::file("write", &file))?;
    output::print(format!("{}\n", file.display()))?;
    Ok(Exit::Done)
}
