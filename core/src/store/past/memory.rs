//! The past in memory, for tests: it loses power on request.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{PastEntry, PastStore, PastVisitor, Segment, ascending};
use crate::store::leaves::LeafStoreError;

/// A store in memory. An unsynced ingestion is kept or lost completely at a crash.
///
/// ```
/// use trunkline_core::store::past::{MemoryPast, PastStore, version_key};
/// let store = MemoryPast::default();
/// store.ingest(1, &mut [Ok((version_key(1).to_vec(), vec![7]))].into_iter())?;
/// store.sync()?;
/// store.crash(7);
/// assert_eq!(store.last_key(1)?, Some(version_key(1).to_vec()));
/// # Ok::<(), trunkline_core::store::leaves::LeafStoreError>(())
/// ```
#[derive(Debug, Default)]
pub struct MemoryPast {
    state: Mutex<State>,
}

type Segments = BTreeMap<u64, BTreeMap<Vec<u8>, Vec<u8>>>;

#[derive(Debug, Default)]
struct State {
    visible: Segments,
    durable: Segments,
    unsynced: Vec<(u64, Vec<PastEntry>)>,
}

impl MemoryPast {
    /// Simulates a power loss and starts again.
    pub fn crash(&self, seed: u64) {
        let state = &mut *self.lock();
        for (place, (segment, entries)) in state.unsynced.drain(..).enumerate() {
            if seed >> (place % 64) & 1 == 1 {
                state.durable.entry(segment).or_default().extend(entries);
            }
        }
        state.visible = state.durable.clone();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn within(
        &self,
        segment: u64,
        range: RangeInclusive<Vec<u8>>,
    ) -> impl DoubleEndedIterator<Item = (&Vec<u8>, &Vec<u8>)> {
        let entries = self.visible.get(&segment).filter(|_| !range.is_empty());
        entries
            .into_iter()
            .flat_map(move |entries| entries.range(range.clone()))
    }
}

fn visit_all<'a>(
    mut entries: impl Iterator<Item = (&'a Vec<u8>, &'a Vec<u8>)>,
    visit: &mut PastVisitor<'_>,
) -> ControlFlow<()> {
    entries.try_for_each(|(key, content)| visit(key, content))
}

impl PastStore for MemoryPast {
    fn segments(&self) -> Result<Vec<Segment>, LeafStoreError> {
        let bytes = |(key, content): (&Vec<u8>, &Vec<u8>)| (key.len() + content.len()) as u64;
        let state = self.lock();
        let segments = state.visible.iter().map(|(number, entries)| Segment {
            number: *number,
            bytes: entries.iter().map(bytes).sum(),
        });
        Ok(segments.collect())
    }

    fn ingest(
        &self,
        segment: u64,
        entries: &mut dyn Iterator<Item = Result<PastEntry, LeafStoreError>>,
    ) -> Result<(), LeafStoreError> {
        let entries = ascending(entries).collect::<Result<Vec<_>, _>>()?;
        let state = &mut *self.lock();
        let visible = state.visible.entry(segment).or_default();
        visible.extend(entries.iter().cloned());
        state.unsynced.push((segment, entries));
        Ok(())
    }

    fn sync(&self) -> Result<(), LeafStoreError> {
        let state = &mut *self.lock();
        for (segment, entries) in state.unsynced.drain(..) {
            state.durable.entry(segment).or_default().extend(entries);
        }
        Ok(())
    }

    fn scan(
        &self,
        segment: u64,
        range: RangeInclusive<Vec<u8>>,
        visit: &mut PastVisitor<'_>,
    ) -> Result<(), LeafStoreError> {
        let state = self.lock();
        let _ = visit_all(state.within(segment, range), visit);
        Ok(())
    }

    fn scan_back(
        &self,
        segment: u64,
        range: RangeInclusive<Vec<u8>>,
        visit: &mut PastVisitor<'_>,
    ) -> Result<(), LeafStoreError> {
        let state = self.lock();
        let _ = visit_all(state.within(segment, range).rev(), visit);
        Ok(())
    }

    fn last_key(&self, segment: u64) -> Result<Option<Vec<u8>>, LeafStoreError> {
        let state = self.lock();
        let last = state
            .visible
            .get(&segment)
            .and_then(BTreeMap::last_key_value);
        Ok(last.map(|(key, _)| key.clone()))
    }

    fn remove(&self, segment: u64) -> Result<(), LeafStoreError> {
        let state = &mut *self.lock();
        state.visible.remove(&segment);
        state.durable.remove(&segment);
        state.unsynced.retain(|(other, _)| *other != segment);
        Ok(())
    }
}
