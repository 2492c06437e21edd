//! Compares figures with their aims, over all rounds and for each run.

use std::fmt::{self, Display, Formatter};

use super::figures::Share;

/// The bound that a figure should keep.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Aim {
    AtLeast(f64),
    AtMost(f64),
}

impl Aim {
    fn is_met_by(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(least) => figure >= least,
            Self::AtMost(most) => figure <= most,
        }
    }
}

impl Display for Aim {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "at least {least}"),
            Self::AtMost(most) => write!(f, "at most {most}"),
        }
    }
}

/// A figure of one setting or load.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) name: String,
    /// The figure, if it was measured.
    pub(crate) figure: Option<f64>,
    /// The figure of each run.
    pub(crate) runs: Vec<Option<f64>>,
    /// The figure as text, with its context.
    pub(crate) shown: String,
}

/// An aim that all findings must meet. Its text is a line that begins with the result.
#[derive(Clone, Debug)]
pub(crate) struct Criterion {
    pub(crate) what: String,
    pub(crate) aim: Aim,
    pub(crate) unit: &'static str,
    pub(crate) findings: Vec<Finding>,
}

impl Criterion {
    fn verdict(&self) -> String {
        let is_missed = |figure: f64| !self.aim.is_met_by(figure);
        let missing = self.names(|figure| figure.is_some_and(is_missed));
        let unmeasured = self.names(|figure| figure.is_none());
        match (missing.is_empty(), unmeasured.is_empty()) {
            (false, _) => format!("**missed** by {missing}"),
            (true, false) => format!("**not measured** for {unmeasured}"),
            (true, true) => "**met**".to_owned(),
        }
    }

    /// Returns the share of the runs that meet the aim by themselves. A run that was not measured does not.
    fn kept(&self) -> Share {
        let runs = self.findings.iter().flat_map(|finding| &finding.runs);
        let is_kept = |figure: &f64| self.aim.is_met_by(*figure);
        let kept = runs.clone().flatten().copied().filter(is_kept);
        Share {
            part: kept.count(),
            of: runs.count(),
        }
    }

    fn names(&self, are_meant: impl Fn(Option<f64>) -> bool) -> String {
        let findings = self.findings.iter();
        let meant = findings.filter(|finding| are_meant(finding.figure));
        let names: Vec<&str> = meant.map(|finding| finding.name.as_str()).collect();
        names.join(", ")
    }
}

impl Display for Criterion {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (what, aim, unit) = (&self.what, self.aim, self.unit);
        let (verdict, kept) = (self.verdict(), self.kept());
        write!(f, "- {verdict}: {what}, {aim}{unit}, met in {kept} runs")?;
        for Finding { name, shown, .. } in &self.findings {
            write!(f, "; {name}: {shown}")?;
        }
        Ok(())
    }
}
