//! The keys whose contents the load is not certain of, because a batch that wrote them was refused or failed. Pure.

use std::collections::HashSet;

use super::records::WriteBatch;

/// Keys that may not hold what the records say, by their indices. It is told of every batch in the order of submission.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doubts {
    /// Keys of batches that were refused or took effect before an earlier one. Until a later batch writes them, they
    /// may hold what an earlier batch wrote.
    refused: HashSet<u64>,
    /// Keys of failed batches, which may have taken effect or may still do so.
    failed: HashSet<u64>,
}

impl Doubts {
    /// Notes that a batch took effect: its keys hold what it wrote.
    pub(crate) fn applied(&mut self, batch: &WriteBatch) {
        if !self.refused.is_empty() {
            for index in batch.indices() {
                self.refused.remove(&index);
            }
        }
    }

    /// Notes that a batch took effect before an earlier one: its keys may hold what the earlier one wrote.
    pub(crate) fn out_of_order(&mut self, batch: &WriteBatch) {
        self.refused.extend(batch.indices());
    }

    /// Notes that a batch was refused. Returns whether that can follow from earlier doubts: it required something of a key
    /// that an earlier batch failed to write.
    pub(crate) fn refused(&mut self, batch: &WriteBatch) -> bool {
        let follows = batch.required().any(|index| self.is_doubtful(index));
        self.refused.extend(batch.indices());
        follows
    }

    /// Notes that it is not known whether a batch took effect.
    pub(crate) fn failed(&mut self, batch: &WriteBatch) {
        self.failed.extend(batch.indices());
    }

    pub(crate) fn is_doubtful(&self, index: u64) -> bool {
        self.refused.contains(&index) || self.failed.contains(&index)
    }
}

#[cfg(test)]
mod tests {
    use super::super::records::Records;
    use super::*;

    fn batch(records: &mut Records, puts: &[u64], replaced: &[u64]) -> WriteBatch {
        let mut batch = WriteBatch::new(records);
        puts.iter().for_each(|index| batch.put(records, *index));
        for index in replaced {
            batch.replace(records, *index);
        }
        batch
    }

    #[test]
    fn a_refused_write_is_in_doubt_until_a_later_one_takes_effect() {
        let (mut records, mut doubts) = (Records::new(1, 4), Doubts::default());
        assert!(!doubts.refused(&batch(&mut records, &[1, 2], &[])));
        assert!(doubts.is_doubtful(1) && doubts.is_doubtful(2) && !doubts.is_doubtful(3));
        doubts.applied(&batch(&mut records, &[2, 3], &[]));
        assert!(doubts.is_doubtful(1) && !doubts.is_doubtful(2));
    }

    #[test]
    fn a_failed_write_stays_in_doubt_because_it_may_still_take_effect() {
        let (mut records, mut doubts) = (Records::new(1, 4), Doubts::default());
        doubts.failed(&batch(&mut records, &[1], &[]));
        doubts.applied(&batch(&mut records, &[1], &[]));
        assert!(doubts.is_doubtful(1));
    }

    #[test]
    fn a_refusal_for_a_key_in_doubt_follows_from_the_earlier_one() {
        let (mut records, mut doubts) = (Records::new(1, 4), Doubts::default());
        assert!(!doubts.refused(&batch(&mut records, &[], &[1])));
        assert!(doubts.refused(&batch(&mut records, &[5], &[1])));
        assert!(!doubts.refused(&batch(&mut records, &[], &[2])));
        assert!(doubts.refused(&batch(&mut records, &[], &[5])));
    }
}
