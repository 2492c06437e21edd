//! Maps figures to positions on a plot, chooses ticks, and thins out points.

/// Limits of an axis. Figures come from a file and may have any value.
const GREATEST: f64 = 1e18;
const LEAST: f64 = 1e-18;

/// Limits a value so that sums and powers of ten of it are finite. Not-a-number becomes 0.
pub(super) fn bounded(value: f64) -> f64 {
    match value.is_nan() {
        true => 0.0,
        false => value.clamp(-GREATEST, GREATEST),
    }
}

/// Maps a range of values to a range of pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    from: f64,
    to: f64,
    pixels: (f64, f64),
    is_logarithmic: bool,
}

impl Scale {
    pub(super) fn linear(values: (f64, f64), pixels: (f64, f64)) -> Self {
        let (from, to) = (bounded(values.0), bounded(values.1));
        let to = if to > from {
            to
        } else {
            from + from.abs().max(1.0)
        };
        Self {
            from,
            to,
            pixels,
            is_logarithmic: false,
        }
    }

    /// Values of zero and below map to the beginning of the scale.
    pub(super) fn logarithmic(values: (f64, f64), pixels: (f64, f64)) -> Self {
        let from = bounded(values.0).max(LEAST);
        let to = bounded(values.1);
        let to = if to > from { to } else { from * 10.0 };
        Self {
            from,
            to,
            pixels,
            is_logarithmic: true,
        }
    }

    /// Returns the position of a value. A value outside the range is at the edge.
    pub(super) fn place(&self, value: f64) -> f64 {
        let share = if self.is_logarithmic {
            (value.max(self.from) / self.from).ln() / (self.to / self.from).ln()
        } else {
            (value - self.from) / (self.to - self.from)
        };
        let (begin, end) = self.pixels;
        begin + share.clamp(0.0, 1.0) * (end - begin)
    }

    /// Returns round multiples of a unit, about as many as `wanted`.
    pub(super) fn ticks(&self, wanted: usize, unit: f64) -> Vec<f64> {
        if self.is_logarithmic {
            return self.decades(wanted);
        }
        let step = round_step((self.to - self.from) / wanted.max(1) as f64 / unit) * unit;
        let first = (self.from / step).ceil() as i64;
        let last = (self.to / step + 1e-9).floor() as i64;
        let last = last.min(first.saturating_add(100));
        (first..=last).map(|number| number as f64 * step).collect()
    }

    fn decades(&self, wanted: usize) -> Vec<f64> {
        let first = self.from.log10().floor() as i32;
        let last = self.to.log10().ceil() as i32;
        let between: &[f64] = match last - first {
            ..=1 => &[1.0, 2.0, 3.0, 5.0],
            2 => &[1.0, 2.0, 5.0],
            3 => &[1.0, 3.0],
            _ => &[1.0],
        };
        let decades = usize::try_from(last - first).unwrap_or(0);
        let every = decades.div_ceil(wanted.max(1)).max(1);
        let decades = (first..=last).step_by(every);
        let ticks =
            decades.flat_map(|decade| between.iter().map(move |one| one * 10f64.powi(decade)));
        let is_inside = |tick: &f64| (self.from * 0.999..=self.to * 1.001).contains(tick);
        ticks.filter(is_inside).collect()
    }
}

/// Returns the next number of 1, 2, 5, 10, 20, …
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|one| one * power);
    let enough = steps.into_iter().find(|one| *one >= step * 0.999);
    enough.unwrap_or(10.0 * power)
}

/// Returns a round value to end an axis with.
pub(super) fn round_up(value: f64, unit: f64) -> f64 {
    let value = bounded(value);
    if value <= 0.0 {
        return 1.0;
    }
    let step = round_step(value / 5.0 / unit) * unit;
    (value / step - 1e-9).ceil() * step
}

/// Most points of a line that are drawn.
pub(super) const POINTS_MAX: usize = 2_000;

/// Returns at most [`POINTS_MAX`] points: the lowest and the highest of each section, so that no peak is lost.
pub(super) fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= POINTS_MAX {
        return points.to_vec();
    }
    let stretch = points.len().div_ceil(POINTS_MAX / 2);
    let extremes = points.chunks(stretch).flat_map(|stretch| {
        let order = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let least = stretch.iter().min_by(order);
        let greatest = stretch.iter().max_by(order);
        let mut two: Vec<(f64, f64)> = least.into_iter().chain(greatest).copied().collect();
        two.sort_by(|a, b| a.0.total_cmp(&b.0));
        two
    });
    extremes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let scale = Scale::linear((0.0, 1_100.0), (0.0, 100.0));
        assert_eq!(scale.ticks(5, 1.0), [0.0, 500.0, 1_000.0]);
        let scale = Scale::logarithmic((8.0, 120_000.0), (0.0, 100.0));
        assert_eq!(
            scale.ticks(6, 1.0),
            [10.0, 100.0, 1_000.0, 10_000.0, 100_000.0]
        );
        let scale = Scale::logarithmic((20.0, 60.0), (0.0, 100.0));
        assert_eq!(scale.ticks(6, 1.0), [20.0, 30.0, 50.0]);
    }

    #[test]
    fn places_stay_inside() {
        let scale = Scale::linear((0.0, 10.0), (200.0, 0.0));
        assert_eq!(
            (scale.place(5.0), scale.place(99.0), scale.place(-1.0)),
            (100.0, 0.0, 200.0)
        );
        let scale = Scale::logarithmic((1.0, 100.0), (0.0, 100.0));
        assert_eq!((scale.place(10.0), scale.place(0.0)), (50.0, 0.0));
        assert_eq!(Scale::linear((3.0, 3.0), (0.0, 100.0)).place(3.0), 0.0);
    }

    #[test]
    fn axes_of_anything_have_few_ticks() {
        let values = [
            0.0,
            -1.0,
            1e-308,
            f64::MIN_POSITIVE,
            1e18,
            1.7e308,
            -1.7e308,
            f64::INFINITY,
            f64::NAN,
        ];
        for from in values {
            for to in values {
                for scale in [Scale::linear, Scale::logarithmic] {
                    let scale = scale((from, to), (0.0, 100.0));
                    let ticks = scale.ticks(7, 1.0);
                    assert!(ticks.len() <= 101, "{from} {to}: {}", ticks.len());
                    assert!(ticks.iter().all(|tick| tick.is_finite()), "{from} {to}");
                    assert!((0.0..=100.0).contains(&scale.place(to.max(0.0))));
                }
            }
        }
    }

    #[test]
    fn an_axis_ends_with_a_round_value() {
        assert_eq!(
            (
                round_up(0.0, 1.0),
                round_up(10.0, 1.0),
                round_up(937.0, 1.0)
            ),
            (1.0, 10.0, 1_000.0)
        );
    }

    #[test]
    fn thinning_keeps_the_peaks() {
        let mut points: Vec<(f64, f64)> = (0..100_000).map(|x| (f64::from(x), 1.0)).collect();
        points[54_321].1 = 99.0;
        let thinned = thinned(&points);
        assert!(thinned.len() <= POINTS_MAX);
        assert!(thinned.contains(&(54_321.0, 99.0)));
        assert!(thinned.is_sorted_by(|a, b| a.0 <= b.0));
    }
}
