//! Keys and values of a load, and what each key must hold: nothing here asks the engine.

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::error::CommandError;

/// Most keys of one load: they are counted in memory, four bytes each.
const KEYS_MAX: u64 = 1 << 30;

/// All keys that were written, and how often.
#[derive(Debug)]
pub(super) struct Records {
    seed: u64,
    value_bytes: usize,
    writes: Vec<u32>,
    keys: u64,
}

impl Records {
    pub(super) fn new(keys: u64, seed: u64, value_bytes: usize) -> Result<Self, CommandError> {
        if keys > KEYS_MAX {
            return Err(CommandError::TooManyKeys { max: KEYS_MAX });
        }
        Ok(Self {
            seed,
            value_bytes,
            writes: Vec::new(),
            keys,
        })
    }

    /// Keys that the load begins with.
    pub(super) fn initial_keys(&self) -> u64 {
        self.keys
    }

    /// Keys written so far.
    pub(super) fn len(&self) -> u64 {
        self.writes.len() as u64
    }

    /// A key that is or will be written.
    pub(super) fn key(index: u64) -> Bytes {
        format!("user{index:012}").into()
    }

    /// A key that never is.
    pub(super) fn absent_key(index: u64) -> Bytes {
        format!("absent{index:012}").into()
    }

    /// The next value of a key; an index beyond the last adds the next new key.
    pub(super) fn write(&mut self, index: u64) -> Bytes {
        let index = match usize::try_from(index) {
            Ok(index) if index < self.writes.len() => index,
            _ => {
                self.writes.push(0);
                self.writes.len() - 1
            }
        };
        let writes = &mut self.writes[index];
        *writes = writes.wrapping_add(1);
        self.value(index as u64)
    }

    /// What a key that was written must hold now.
    pub(super) fn value(&self, index: u64) -> Bytes {
        let writes = usize::try_from(index)
            .ok()
            .and_then(|index| self.writes.get(index))
            .copied()
            .unwrap_or(0);
        let place = index << 32 | u64::from(writes);
        let mut random =
            SmallRng::seed_from_u64(self.seed ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut value = vec![0; self.value_bytes];
        random.fill_bytes(&mut value);
        value.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_known_from_seed_key_and_number_of_writes() {
        let mut records = Records::new(10, 7, 20).unwrap();
        let first = records.write(0);
        assert_eq!(records.value(0), first);
        let other = records.write(1);
        let second = records.write(0);
        assert_eq!(records.value(0), second);
        assert_eq!(records.value(1), other);
        assert_eq!(records.len(), 2);
        assert!(first != second && first != other && first.len() == 20);

        let mut again = Records::new(10, 7, 20).unwrap();
        assert_eq!(again.write(0), first);
        let mut another_seed = Records::new(10, 8, 20).unwrap();
        assert_ne!(another_seed.write(0), first);
    }
}
