//! Rewrites a file with the figures of a running load in the text format of Prometheus, once a second.

use std::path::Path;

use trunkline_load::{Progress, PrometheusText, Run, rewrite_file};

use crate::output;

/// The file. If it cannot be written, the run continues.
#[derive(Debug)]
pub(super) struct MetricsFile<'a> {
    path: &'a Path,
    text: PrometheusText,
    has_failed: bool,
}

impl<'a> MetricsFile<'a> {
    pub(super) fn new(path: &'a Path, run: &str) -> Self {
        Self {
            path,
            text: PrometheusText::new(run),
            has_failed: false,
        }
    }

    /// Rewrites the file if its content has changed.
    pub(super) fn observe(&mut self, progress: &Progress<'_>) {
        if self.text.observe(progress) {
            self.write();
        }
    }

    /// Rewrites the file with the last seconds of the run.
    pub(super) fn end(mut self, run: &Run) {
        run.seconds.iter().for_each(|second| self.text.add(second));
        self.write();
    }

    /// Writes the file. Reports the first failure, and tries again each time.
    fn write(&mut self) {
        let written = rewrite_file(self.path, self.text.to_string().as_bytes());
        match written {
            Err(error) if !self.has_failed => {
                self.has_failed = true;
                output::tell_error("warning", &error);
            }
            _ => {}
        }
    }
}
