//! Chooses a point on a curve of latency over throughput.

use crate::trial::Figures;

/// Returns the knee: the point at which throughput divided by latency is greatest. More throughput costs little latency
/// before it and much after it (the power of Giessler et al. 1978 and Kleinrock, "Power and deterministic rules of thumb for
/// probabilistic problems in computer communications", ICC 1979). Ignores points that do not keep up with the
/// offered rate.
pub(super) fn knee(open: &[Figures]) -> Option<usize> {
    let power = |figures: &Figures| figures.achieved_per_second / figures.p99_us.max(1.0);
    best(open, power, |_| true)
}

/// Returns the point with the highest throughput whose 99th percentile is within a target, in microseconds.
pub(super) fn within_target(open: &[Figures], target_us: f64) -> Option<usize> {
    best(
        open,
        |figures| figures.achieved_per_second,
        |figures| figures.p99_us <= target_us,
    )
}

fn best(
    open: &[Figures],
    worth: impl Fn(&Figures) -> f64,
    counts: impl Fn(&Figures) -> bool,
) -> Option<usize> {
    let on_the_curve = open.iter().enumerate();
    let on_the_curve = on_the_curve.filter(|(_, figures)| figures.keeps_up() && counts(figures));
    let best = on_the_curve.max_by(|(_, a), (_, b)| worth(a).total_cmp(&worth(b)));
    best.map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offered: f64, achieved: f64, p99_ms: f64) -> Figures {
        Figures {
            offered_per_second: offered,
            achieved_per_second: achieved,
            p50_us: 1.0,
            p99_us: p99_ms * 1e3,
            ..Figures::default()
        }
    }

    /// Returns the curve of a queue with one server: latency is service time divided by the idle share of the server.
    fn queue() -> Vec<Figures> {
        let shares = [0.1, 0.3, 0.5, 0.7, 0.9];
        shares
            .map(|share| at(share, share, 10.0 / (1.0 - share)))
            .to_vec()
    }

    #[test]
    fn the_knee_of_a_queue_is_at_half_of_what_it_can_do() {
        assert_eq!(knee(&queue()), Some(2));
    }

    #[test]
    fn the_target_decides_how_far_out_one_may_go() {
        assert_eq!(within_target(&queue(), 40_000.0), Some(3));
        assert_eq!(within_target(&queue(), 1.0), None);
    }

    #[test]
    fn what_does_not_keep_up_does_not_count() {
        let curve = [at(1.0, 1.0, 10.0), at(2.0, 1.9, 10.0)];
        assert_eq!(knee(&curve), Some(0));
        assert_eq!(within_target(&curve, 10_000.0), Some(0));
        assert_eq!(knee(&[]), None);
    }
}
