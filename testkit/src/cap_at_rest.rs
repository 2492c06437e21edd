//! Measures how far a cap still moves under a steady load, and how often it changes direction: for the bench
//! `acceptance` and for scenarios in virtual time.

/// Number of successive windows whose largest and smallest caps are compared.
pub const AMPLITUDE_WINDOWS: usize = 20;
/// Number of successive windows in which changes of the cap's direction are counted.
pub const REVERSAL_WINDOWS: usize = 10;

/// Returns the greatest ratio of the largest to the smallest cap in any twenty successive windows, minus one: 0.2 means
/// a fifth. It is 0 without windows.
pub fn amplitude(caps: &[u64]) -> f64 {
    let span = |caps: &[u64]| {
        let low = caps.iter().min().copied().unwrap_or(1).max(1);
        let high = caps.iter().max().copied().unwrap_or(1).max(1);
        high as f64 / low as f64 - 1.0
    };
    let spans = successive(caps, AMPLITUDE_WINDOWS).map(span);
    spans.fold(0.0, f64::max)
}

/// Returns the most changes of direction in any ten successive windows. Windows in which the cap stays do not count.
pub fn reversals(caps: &[u64]) -> usize {
    let count = |caps: &[u64]| {
        let moves = caps.windows(2).filter(|pair| pair[0] != pair[1]);
        let upwards: Vec<bool> = moves.map(|pair| pair[0] < pair[1]).collect();
        upwards.windows(2).filter(|pair| pair[0] != pair[1]).count()
    };
    let counts = successive(caps, REVERSAL_WINDOWS).map(count);
    counts.max().unwrap_or(0)
}

/// Returns all runs of `windows` successive caps, or all caps if there are fewer.
fn successive(caps: &[u64], windows: usize) -> std::slice::Windows<'_, u64> {
    caps.windows(caps.len().clamp(1, windows))
}
