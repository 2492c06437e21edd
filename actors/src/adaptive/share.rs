//! The share of what is under way that one group has: at most so much, so that groups overlap, and at least so much, so
//! that they are few.
//!
//! Stages work at the same time only on different groups. In a closed loop all callers of one group come back at once,
//! and would be sealed into one group again, which overlaps with nothing. So a group takes no more than its share of
//! what is inside, waiting or in flight.
//! Below the cap of a group it matters only while that cap is far above what is inside.

/// Groups that share what is inside: more gain nothing, since the stages that take long are about as many.
const SHARES_MAX: u64 = 3;
/// Operations that a share has at least: in smaller groups, what each group costs by itself weighs more than what
/// overlapping gives.
const SHARE_OPERATIONS_MIN: u64 = 8_192;

/// Returns how many of the operations that wait or are in flight one group may have.
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

/// Returns how many operations must wait for a group to be sealed while others are in flight.
///
/// The callers of a group come back one after the other. The first of them must not become a group alone while the
/// rest is about to follow. Nearly as much as is in flight makes groups of about half of what is inside, so that one
/// gathers and is applied while another becomes durable. Exactly as much would let two groups that differ by one
/// operation take turns and never overlap.
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
