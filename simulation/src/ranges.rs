//! Ranges of keys in byte order, compared with the model.

use rand::RngExt;
use rand::rngs::SmallRng;
use trunkline::{KeyRange, ReadError, Snapshot};

use crate::ensure;

/// The keys and values of the model, in byte order.
type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Returns a range with bounds among the keys of the model, in either direction, with pages of a few entries.
pub(crate) fn range(keys: &Pairs, random: &mut SmallRng) -> KeyRange {
    let mut pick = || match keys.len() {
        0 => b"k".to_vec(),
        count => keys[random.random_range(0..count)].0.clone(),
    };
    let (one, other) = (pick(), pick());
    let range = match random.random_range(0..4) {
        0 => KeyRange::all(),
        1 => KeyRange::prefix(&one[..random.random_range(0..=one.len())]),
        2 => KeyRange::new(one..),
        // The range may be empty.
        _ => KeyRange::new(one..=other),
    };
    let range = range.entries_max(random.random_range(1..20));
    match random.random_ratio(1, 2) {
        true => range.reversed(),
        false => range,
    }
}

/// Reads a range page by page and compares it with the model.
pub(crate) fn compare(snapshot: &Snapshot, range: KeyRange, all: Pairs) -> Result<(), ReadError> {
    let within = all.into_iter().filter(|(key, _)| range.contains(key));
    let mut expected: Pairs = within.collect();
    if range.is_reverse() {
        expected.reverse();
    }
    let mut found = Pairs::new();
    for entry in snapshot.range_iter(range.clone()) {
        let (key, value) = entry?;
        found.push((key.to_vec(), value.to_vec()));
    }
    let version = snapshot.version();
    ensure!(
        found == expected,
        "{range:?} of version {version} has {} keys, and not the {} of the model",
        found.len(),
        expected.len()
    );
    Ok(())
}
