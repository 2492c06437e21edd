//! The text of figures in tables.

use super::figures::{Share, Spread};

pub(crate) fn shown(spread: Option<Spread>, digits: usize) -> String {
    spread.map_or("–".to_owned(), |spread| format!("{spread:.digits$}"))
}

/// Returns a share with its percentage, if there is one.
pub(crate) fn percent(share: Share) -> String {
    let in_percent = |percent: f64| format!(" ({percent:.1} %)");
    format!(
        "{share}{}",
        share.percent().map_or(String::new(), in_percent)
    )
}

pub(crate) fn thousands(figure: f64) -> String {
    format!("{:.0}k", figure / 1e3)
}

pub(crate) fn millis(micros: f64) -> String {
    format!("{:.0} ms", micros / 1e3)
}

/// Returns a number below a million with a comma between its thousands.
pub(crate) fn grouped(number: usize) -> String {
    match (number / 1000, number % 1000) {
        (0, rest) => rest.to_string(),
        (thousands, rest) => format!("{thousands},{rest:03}"),
    }
}
