//! Sums over windows, and the arithmetic of rates and shares.

use crate::decisions::Window;

/// Share of groups closed by a cap from which on the cap limits work, per mille.
pub(super) const FULL_PER_MILLE: u64 = 500;

/// Sums over successive windows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    pub(super) windows: u32,
    pub(super) groups: u64,
    length_us: u64,
    durable: u64,
    full: u64,
    closed: u64,
}

impl Span {
    pub(super) fn add(&mut self, window: &Window) {
        self.windows += 1;
        for (sum, more) in [
            (&mut self.groups, window.groups),
            (&mut self.length_us, window.length_us),
            (&mut self.durable, window.operations_durable),
            (&mut self.full, window.groups_full),
            (&mut self.closed, groups_closed(window)),
        ] {
            *sum = sum.saturating_add(more);
        }
    }

    /// Returns the durable operations per second.
    pub(super) fn rate(&self) -> f64 {
        per_second(self.durable, self.length_us)
    }

    /// Returns the number of groups that are sealed in its time at a rate of `groups` per second.
    pub(super) fn groups_at(&self, groups: f64) -> f64 {
        groups * self.length_us as f64 / 1e6
    }

    /// Returns the groups sealed per second.
    pub(super) fn group_rate(&self) -> f64 {
        per_second(self.groups, self.length_us)
    }

    /// Returns whether the cap of operations closed half of the groups, so that a larger cap would have an effect.
    pub(super) fn is_full(&self) -> bool {
        per_mille(self.full, self.groups) >= FULL_PER_MILLE
    }

    /// Returns whether the cap of operations or that of bytes closed half of the groups.
    pub(super) fn is_closed(&self) -> bool {
        per_mille(self.closed, self.groups) >= FULL_PER_MILLE
    }
}

/// Returns the number of groups that a cap of operations or of bytes closed. Groups closed by their share do not count:
/// in a closed loop there are as many of them at any load.
fn groups_closed(window: &Window) -> u64 {
    window.groups_full.saturating_add(window.groups_full_bytes)
}

/// Returns the groups that a cap closed, per mille.
pub(super) fn closed_per_mille(window: &Window) -> u64 {
    per_mille(groups_closed(window), window.groups)
}

/// Returns the time that the busiest stage worked, per mille.
pub(super) fn busiest_per_mille(window: &Window) -> u64 {
    let busiest = window.stages.iter().map(|stage| stage.busy_us).max();
    per_mille(busiest.unwrap_or(0), window.length_us)
}

/// Returns `part` of `whole` in thousandths, 0 to 1000; 0 if `whole` is 0.
pub(super) fn per_mille(part: u64, whole: u64) -> u64 {
    let thousandths = u128::from(part) * 1000 / u128::from(whole.max(1));
    thousandths.min(1000) as u64
}

/// Returns `count` in `length_us` as a rate per second.
pub(super) fn per_second(count: u64, length_us: u64) -> f64 {
    count as f64 * 1e6 / length_us.max(1) as f64
}

/// Returns the mean without the least and the greatest value, if there are more than three values; 0 if there are none.
pub(super) fn typical(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let inner = match sorted.as_slice() {
        [_, inner @ .., _] if inner.len() > 1 => inner,
        all => all,
    };
    inner.iter().sum::<f64>() / inner.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typical_leaves_extremes_out() {
        assert_eq!(typical([]), 0.0);
        assert_eq!(typical([3.0]), 3.0);
        assert_eq!(typical([9.0, 1.0, 2.0]), 4.0);
        assert_eq!(typical([9.0, 1.0, 1000.0, 3.0]), 6.0);
    }

    #[test]
    fn shares_of_extreme_numbers_are_shares() {
        assert_eq!(per_mille(u64::MAX, 0), 1000);
        assert_eq!(per_mille(u64::MAX, u64::MAX), 1000);
        assert_eq!(per_mille(1, u64::MAX), 0);
    }
}
