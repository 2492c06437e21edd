//! The share of the work in the pipeline for one group: the share is bounded above so that groups overlap, and below so
//! that they are few.
//!
//! Stages work at the same time only on different groups. In a closed loop all callers of one group come back at once,
//! and would be sealed into one group again, which overlaps with nothing. So a group takes no more than its share of
//! the operations that wait or are in flight. This matters only while the cap of a group is far above that number.

/// Number of groups that share the operations in the pipeline. More gain nothing, since about as many stages take long.
const SHARES_MAX: u64 = 3;
/// Least operations of a share: in smaller groups, the fixed cost of each group exceeds the gain from overlapping.
const SHARE_OPERATIONS_MIN: u64 = 8_192;

/// Returns the most operations of one group, out of those that wait or are in flight.
///
/// If only one group may be in flight, it takes everything.
///
/// ```
/// use trunkline_actors::adaptive::group_share;
/// assert_eq!(group_share(60_000, 4), 20_000);
/// assert_eq!(group_share(60_000, 2), 30_000);
/// assert_eq!(group_share(60_000, 1), 60_000);
/// // Little is not worth cutting up.
/// assert_eq!(group_share(9_000, 4), 8_192);
/// ```
pub fn group_share(operations_inside: u64, groups_in_flight_max: u64) -> u64 {
    let shares = groups_in_flight_max.clamp(1, SHARES_MAX);
    operations_inside.div_ceil(shares).max(SHARE_OPERATIONS_MIN)
}

/// Returns the number of operations that must wait for a group to be sealed while others are in flight.
///
/// The callers of a group come back one after the other. The first of them must not become a group by itself while the
/// rest are about to follow. Nearly as many as are in flight make groups of about half of all operations, so that one
/// gathers and is applied while another becomes durable. With exactly as many, two groups that differ by one operation
/// could take turns and never overlap.
///
/// ```
/// use trunkline_actors::adaptive::group_least;
/// assert_eq!(group_least(256), 224);
/// // Single submissions wait for nobody, and large groups need not grow.
/// assert_eq!((group_least(1), group_least(60_000)), (0, 8_192));
/// ```
pub fn group_least(operations_in_flight: u64) -> u64 {
    (operations_in_flight - operations_in_flight.div_ceil(8)).min(SHARE_OPERATIONS_MIN)
}
