//! Two ways timed in turns.

use std::time::Duration;

use crate::error::LadderError;
use crate::figures::Comparison;

/// The medians of both ways over this many turns, as times of one of `count` shards of work. Each way times
/// itself, so that what it needs beforehand is not counted.
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
