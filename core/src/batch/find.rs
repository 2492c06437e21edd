//! Finds a key hash in a sorted list.

use crate::hash::Digest;

/// Number of guesses before the search continues by halving.
const GUESSES_MAX: usize = 8;

/// Returns the index of a key hash among `count` strictly ascending ones.
///
/// Hashes are evenly distributed, so the index is guessed from the first bytes (interpolation search: about log log n
/// steps). Halving bounds the cost for chosen hashes.
///
/// ```
/// use trunkline_core::batch::find_ascending;
/// let sorted = [[1; 32], [5; 32], [9; 32]];
/// assert_eq!(find_ascending(sorted.len(), |place| &sorted[place], &[5; 32]), Some(1));
/// assert_eq!(find_ascending(sorted.len(), |place| &sorted[place], &[6; 32]), None);
/// ```
pub fn find_ascending<'a>(
    count: usize,
    at: impl Fn(usize) -> &'a Digest,
    wanted: &Digest,
) -> Option<usize> {
    let wanted_head = head(wanted);
    let (mut low, mut high) = (0, count);
    let (mut low_head, mut high_head) = (0, u64::MAX);
    let mut guesses = 0;
    while low < high {
        let middle = if guesses < GUESSES_MAX {
            guesses += 1;
            let share = (wanted_head - low_head) as f64 / (high_head - low_head).max(1) as f64;
            (low + (share * (high - low) as f64) as usize).min(high - 1)
        } else {
            low + (high - low) / 2
        };
        let found = at(middle);
        match found.cmp(wanted) {
            std::cmp::Ordering::Equal => return Some(middle),
            std::cmp::Ordering::Less => (low, low_head) = (middle + 1, head(found)),
            std::cmp::Ordering::Greater => (high, high_head) = (middle, head(found)),
        }
    }
    None
}

/// Returns the first eight bytes as a number, which sorts like the whole hash.
///
/// ```
/// assert_eq!(trunkline_core::batch::head(&[1; 32]), 0x0101_0101_0101_0101);
/// ```
pub fn head(key_hash: &Digest) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *key_hash;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mut hashes: Vec<Digest>) {
        hashes.sort_unstable();
        hashes.dedup();
        let find = |wanted: &Digest| find_ascending(hashes.len(), |place| &hashes[place], wanted);
        for (place, hash) in hashes.iter().enumerate() {
            assert_eq!(find(hash), Some(place));
            let mut other = *hash;
            other[31] ^= 1;
            assert_eq!(find(&other), hashes.binary_search(&other).ok());
        }
        assert_eq!(find(&[0x7a; 32]), None);
    }

    #[test]
    fn evenly_spread_hashes_are_found() {
        check(Vec::new());
        check(
            (0..3_000_u32)
                .map(|i| crate::hash::hash(&i.to_le_bytes()))
                .collect(),
        );
    }

    #[test]
    fn hashes_that_share_their_heads_or_crowd_at_the_ends_are_found() {
        let crowd = |head: u8| {
            (0..300_u16).map(move |i| {
                let mut hash = [head; 32];
                hash[12..14].copy_from_slice(&i.to_be_bytes());
                hash
            })
        };
        check(crowd(3).collect());
        check(crowd(0).chain(crowd(0xff)).chain(crowd(0xfe)).collect());
    }
}
