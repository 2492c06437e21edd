//! How far a cap that should rest still goes, and how often it turns. Pure: for scenarios in virtual time here, and for
//! the bench `acceptance`, which includes this file.

/// Windows among which the largest cap is held against the smallest.
pub const AMPLITUDE_WINDOWS: usize = 20;
/// Windows among which changes of the cap's direction are counted.
pub const REVERSAL_WINDOWS: usize = 10;

/// Largest cap over smallest in any twenty successive windows, less one: 0.2 for a fifth. 0 of no windows.
pub fn amplitude(caps: &[u64]) -> f64 {
    let span = |caps: &[u64]| {
        let low = caps.iter().min().map_or(1, |low| *low).max(1);
        let high = caps.iter().max().map_or(1, |high| *high).max(1);
        high as f64 / low as f64 - 1.0
    };
    successive(caps, AMPLITUDE_WINDOWS)
        .map(span)
        .fold(0.0, f64::max)
}

/// Most changes of direction in any ten successive windows. Windows in which the cap stays are none.
pub fn reversals(caps: &[u64]) -> usize {
    let count = |caps: &[u64]| {
        let moves = caps.windows(2).filter(|pair| pair[0] != pair[1]);
        let upwards: Vec<bool> = moves.map(|pair| pair[0] < pair[1]).collect();
        upwards.windows(2).filter(|pair| pair[0] != pair[1]).count()
    };
    successive(caps, REVERSAL_WINDOWS)
        .map(count)
        .max()
        .unwrap_or(0)
}

/// All of so many successive ones; of fewer the whole.
fn successive(caps: &[u64], windows: usize) -> std::slice::Windows<'_, u64> {
    caps.windows(caps.len().clamp(1, windows))
}
