//! Times two ways in turns.

use std::time::Duration;

use crate::error::LadderError;
use crate::figures::Comparison;

/// Returns the medians of both ways over this many turns, divided by the `count` pieces of work in a turn. Each way
/// times itself, so that its preparation is not counted.
pub(super) fn in_turns(
    turns: usize,
    (unit, count): (&str, u64),
    mut with: impl FnMut(usize) -> Result<Duration, LadderError>,
    mut without: impl FnMut(usize) -> Result<Duration, LadderError>,
) -> Result<Comparison, LadderError> {
    let (mut withs, mut withouts) = (Vec::new(), Vec::new());
    for turn in 0..turns {
        withs.push(with(turn)?);
        withouts.push(without(turn)?);
    }
    let each = |durations: &mut Vec<Duration>| {
        durations.sort_unstable();
        durations[durations.len() / 2].as_secs_f64() * 1e9 / count as f64
    };
    Ok(Comparison {
        unit: format!("ns {unit}"),
        with: each(&mut withs),
        without: each(&mut withouts),
        remark: String::new(),
    })
}
