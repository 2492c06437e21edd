//! Computes the pause of commits while a checkpoint runs, so that they slow down to the rate of checkpoints instead of
//! reaching the limit and then waiting for a whole checkpoint.
//!
//! This is a token bucket. While a checkpoint runs, as many bytes may gather as checkpoints write in that time, plus
//! the free space below the limit, which must hold the bytes that the checkpoint covers and those that gather
//! meanwhile. While little gathers, that space is large and there is no pause; the fuller it gets, the closer commits
//! are held to the rate of the checkpoints, by a short pause after each sync.

/// Longest pause in microseconds: the time that one sync may add to the latency of the next.
const PAUSE_US_MAX: u64 = 100_000;
/// The part of the limit that is kept free for errors of the rate: one part in this many.
const SPARE_PART: u64 = 8;

/// The figures from which the pause is computed.
///
/// ```
/// use trunkline_actors::adaptive::Backlog;
/// let backlog = Backlog {
///     checkpoint_bytes: 240 << 20,
///     gathered_bytes: 101 << 20,
///     elapsed_us: 1_000_000,
///     bytes_per_second: Some(100 << 20),
///     waits_at_bytes: 512 << 20,
/// };
/// assert_eq!(backlog.pause_us(), 10_000); // one of 101 MiB is too many
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Bytes that the checkpoint covers.
    pub checkpoint_bytes: u64,
    /// Bytes that have gathered since the checkpoint began.
    pub gathered_bytes: u64,
    /// Time since the checkpoint began, in microseconds.
    pub elapsed_us: u64,
    /// Rate of the previous checkpoint, if there was one.
    pub bytes_per_second: Option<u64>,
    /// Number of bytes at which commits wait for its end (`checkpoint.unflushed_bytes_max`).
    pub waits_at_bytes: u64,
}

impl Backlog {
    /// Returns the pause in microseconds.
    pub fn pause_us(&self) -> u64 {
        let Some(rate) = self.bytes_per_second else {
            return 0;
        };
        let rate = u128::from(rate.max(1));
        let usable = self.waits_at_bytes - self.waits_at_bytes / SPARE_PART;
        let room = usable.saturating_sub(self.checkpoint_bytes.saturating_mul(2));
        let taken = rate * u128::from(self.elapsed_us) / 1_000_000;
        let allowed = taken + u128::from(room);
        let surplus = u128::from(self.gathered_bytes).saturating_sub(allowed);
        let pause_us = surplus * 1_000_000 / rate;
        u64::try_from(pause_us).map_or(PAUSE_US_MAX, |pause_us| pause_us.min(PAUSE_US_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn backlog(checkpoint_mib: u64, gathered_mib: u64) -> Backlog {
        Backlog {
            checkpoint_bytes: checkpoint_mib * MIB,
            gathered_bytes: gathered_mib * MIB,
            elapsed_us: 1_000_000,
            bytes_per_second: Some(100 * MIB),
            waits_at_bytes: 512 * MIB,
        }
    }

    #[test]
    fn nothing_is_held_back_while_there_is_room() {
        // 448 are usable: without twice the bytes that the checkpoint covers, 192 are left, and 100 have gathered.
        assert_eq!(backlog(128, 292).pause_us(), 0);
        assert_eq!(backlog(128, 293).pause_us(), 10_000);
    }

    #[test]
    fn without_room_the_rate_is_that_of_checkpoints() {
        assert_eq!(backlog(240, 100).pause_us(), 0);
        assert_eq!(backlog(240, 103).pause_us(), 30_000);
        assert_eq!(backlog(240, 200).pause_us(), PAUSE_US_MAX);
    }

    #[test]
    fn nothing_is_held_back_before_a_checkpoint_was_timed() {
        let unknown = Backlog {
            bytes_per_second: None,
            ..backlog(512, 512)
        };
        assert_eq!(unknown.pause_us(), 0);
    }

    /// Commits that could be half again as fast as checkpoints: without pauses the gathered bytes would grow by a half
    /// with each checkpoint until they reach the limit.
    #[test]
    fn what_gathers_settles_below_the_limit() {
        const SYNC_BYTES: u64 = 2 * MIB;
        const SYNC_US: u64 = SYNC_BYTES * 1_000_000 / (150 * MIB);
        let (mut covered, mut longest_us) = (128 * MIB, 0);
        for _ in 0..50 {
            let ends_us = covered * 1_000_000 / (100 * MIB);
            let (mut gathered, mut elapsed_us) = (0, 0);
            while elapsed_us < ends_us {
                gathered += SYNC_BYTES;
                elapsed_us += SYNC_US;
                let backlog = Backlog {
                    checkpoint_bytes: covered,
                    gathered_bytes: gathered,
                    elapsed_us,
                    ..backlog(0, 0)
                };
                longest_us = longest_us.max(backlog.pause_us());
                elapsed_us += backlog.pause_us();
            }
            assert!(covered + gathered < 512 * MIB, "{covered} {gathered}");
            covered = gathered;
        }
        // The pause takes at most two thirds of the time of a sync: as much as it was too fast by.
        assert!(longest_us < 10_000, "{longest_us}");
    }

    #[test]
    fn no_number_breaks_it() {
        for extreme in [0, 1, u64::MAX] {
            for rate in [0, 1, u64::MAX] {
                let backlog = Backlog {
                    checkpoint_bytes: extreme,
                    gathered_bytes: extreme,
                    elapsed_us: u64::MAX - extreme,
                    bytes_per_second: Some(rate),
                    waits_at_bytes: extreme,
                };
                assert!(backlog.pause_us() <= PAUSE_US_MAX);
            }
        }
    }
}
