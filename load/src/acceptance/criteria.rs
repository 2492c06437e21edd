//! Whether figures are good enough: over all rounds, and in how many runs of them. Pure; its tests are in `tests/load`.

use std::fmt::{self, Display, Formatter};

use super::figures::Share;

/// What a figure should be.
#[derive(Clone, Copy, Debug)]
pub enum Aim {
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

/// What was found under one setting or load.
#[derive(Clone, Debug)]
pub struct Finding {
    pub name: String,
    /// What the aim is held against; nothing if it was not measured.
    pub figure: Option<f64>,
    /// What it was in each run.
    pub runs: Vec<Option<f64>>,
    /// The figure, and what it stands among.
    pub shown: String,
}

/// What all findings must keep. As text it is a line that begins with whether they do.
#[derive(Clone, Debug)]
pub struct Criterion {
    pub what: String,
    pub aim: Aim,
    pub unit: &'static str,
    pub findings: Vec<Finding>,
}

impl Criterion {
    fn verdict(&self) -> String {
        let is_missed = |figure: f64| !self.aim.is_met_by(figure);
        let missing = self.names(|figure| figure.is_some_and(is_missed));
        if !missing.is_empty() {
            return format!("**missed** by {missing}");
        }
        let unmeasured = self.names(|figure| figure.is_none());
        if !unmeasured.is_empty() {
            return format!("**not measured** for {unmeasured}");
        }
        "**met**".to_owned()
    }

    /// Runs that keep it by themselves; one that was not measured does not.
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
        let meant = self
            .findings
            .iter()
            .filter(|finding| are_meant(finding.figure));
        let names: Vec<&str> = meant.map(|finding| finding.name.as_str()).collect();
        names.join(", ")
    }
}

impl Display for Criterion {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            aim,
            unit,
            findings,
        } = self;
        write!(
            f,
            "- {}: {what}, {aim}{unit}, met in {} runs",
            self.verdict(),
            self.kept()
        )?;
        for Finding { name, shown, .. } in findings {
            write!(f, "; {name}: {shown}")?;
        }
        Ok(())
    }
}
