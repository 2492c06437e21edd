//! A target in memory that counts its calls, and refuses or fails on request.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use trunkline_load::{
    MustHold, Outcome, Pending, Plan, ProofTop, Target, TargetError, WriteBatch, Written,
};

#[derive(Default)]
pub(crate) struct Table {
    pub(crate) values: Mutex<HashMap<Vec<u8>, Bytes>>,
    pub(crate) batches: AtomicU64,
    pub(crate) read: AtomicU64,
    /// Submissions from this one on fail.
    pub(crate) fails_from: Option<u64>,
    /// After the fill, one in this many submissions is refused for a reason that its requirements do not explain.
    pub(crate) refuses_one_in: Option<u64>,
    /// Submissions from this one on fail permanently.
    pub(crate) ends_from: Option<u64>,
}

impl Table {
    fn holds(&self, requires: Option<MustHold<'_>>, key: &[u8]) -> bool {
        let values = self.values.lock().unwrap();
        match requires {
            None => true,
            Some(MustHold::Absent) => !values.contains_key(key),
            Some(MustHold::Value(value)) => values.get(key).is_some_and(|held| held == value),
        }
    }

    /// Checks that all keys of a load hold what its records say.
    #[track_caller]
    pub(crate) fn agrees_with(&self, outcome: &Outcome) {
        let records = &outcome.records;
        let mut present = 0;
        for index in 0..records.len() {
            let held = self
                .values
                .lock()
                .unwrap()
                .get(&records.key(index)[..])
                .cloned();
            assert_eq!(held.map(Vec::from), records.value(index), "key {index}");
            present += usize::from(records.value(index).is_some());
        }
        assert_eq!(self.values.lock().unwrap().len(), present);
    }
}

impl Target for Table {
    fn submit(&self, batch: &WriteBatch) -> Result<Pending, TargetError> {
        let number = self.batches.fetch_add(1, Ordering::SeqCst);
        if self.fails_from.is_some_and(|from| number >= from) {
            return Err(TargetError::failed(std::io::Error::other("disk full")));
        }
        if self.ends_from.is_some_and(|from| number >= from) {
            return Err(TargetError::ended(std::io::Error::other("it is gone")));
        }
        let is_fill = number < 10;
        let mut is_refused = self
            .refuses_one_in
            .is_some_and(|one_in| !is_fill && number.is_multiple_of(one_in));
        batch.for_each(|write| is_refused |= !self.holds(write.requires, write.key));
        if is_refused {
            return Ok(Box::new(|| {
                Ok(Written::Refused("another value".to_owned()))
            }));
        }
        batch.for_each(|write| {
            let mut values = self.values.lock().unwrap();
            match write.value {
                Some(value) => values.insert(write.key.to_vec(), Bytes::copy_from_slice(value)),
                None => values.remove(write.key),
            };
        });
        Ok(Box::new(|| Ok(Written::Applied)))
    }

    fn read(&self, key: &[u8]) -> Result<Option<Bytes>, TargetError> {
        self.read.fetch_add(1, Ordering::SeqCst);
        Ok(self.values.lock().unwrap().get(key).cloned())
    }

    fn read_proven(&self, key: &[u8], _top: ProofTop) -> Result<Option<Bytes>, TargetError> {
        self.read(key)
    }
}

/// A small load that ends by its number of operations.
pub(crate) fn small() -> Plan {
    Plan {
        keys: 200,
        value_bytes: 10,
        batch: 20,
        ops: Some(2_000),
        rate: Some(1e6),
        readers: Some(2),
        ..Plan::default()
    }
}
