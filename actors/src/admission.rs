//! Admission: limits the operations and bytes in the pipeline, and fixes the order of submissions.
//!
//! A submission acquires permits before it is prepared and carries them along. Wherever the submission is dropped, in
//! the last stage or in a failing one, the permits come back. Mailboxes need no bound of their own then.
//!
//! The number of permits is fixed, and the limit decides how many a submission needs (its weight). So a limit can be
//! changed while submissions wait and are in flight, no submission waits for more permits than there are, and one
//! above the limit passes alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, TryAcquireError};
use trunkline_core::hash::Digest;

/// Permits for operations, and as many for bytes.
const PERMITS: u32 = 1 << 30;

/// The permits for operations or for bytes.
#[derive(Debug)]
struct Permits {
    semaphore: Arc<Semaphore>,
    limit: AtomicU64,
}

impl Permits {
    fn new(limit: usize) -> Self {
        Self {
            semaphore: Arc::new(Semaphore::new(PERMITS as usize)),
            limit: AtomicU64::new(limit as u64),
        }
    }

    /// Returns the permits that an amount needs: its part of the limit, rounded down so that the limit can be
    /// reached, and at most all permits.
    fn weight(&self, amount: usize) -> u32 {
        let limit = u128::from(self.limit.load(Ordering::Relaxed).max(1));
        let weight = amount as u128 * u128::from(PERMITS) / limit;
        let least = u32::from(amount > 0);
        u32::try_from(weight).map_or(PERMITS, |weight| weight.clamp(least, PERMITS))
    }

    async fn acquire(&self, amount: usize) -> Result<OwnedSemaphorePermit, AcquireError> {
        let weight = self.weight(amount);
        self.semaphore.clone().acquire_many_owned(weight).await
    }

    fn try_acquire(&self, amount: usize) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        let weight = self.weight(amount);
        self.semaphore.clone().try_acquire_many_owned(weight)
    }
}

/// The permits of one engine.
#[derive(Debug)]
pub struct Admission {
    operations: Permits,
    bytes: Permits,
}

/// Acquired permits. Dropping them gives them back.
#[derive(Debug)]
pub struct Permit {
    _operations: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl Admission {
    /// Creates the permits for these limits.
    pub fn new(operations_max: usize, bytes_max: usize) -> Self {
        Self {
            operations: Permits::new(operations_max),
            bytes: Permits::new(bytes_max),
        }
    }

    /// Returns how many operations may be in the pipeline.
    pub fn operations_max(&self) -> u64 {
        self.operations.limit.load(Ordering::Relaxed)
    }

    /// Changes how many operations may be in the pipeline. It applies to later acquisitions.
    pub fn set_operations_max(&self, operations: u64) {
        self.operations.limit.store(operations, Ordering::Relaxed);
    }

    /// Changes how many bytes may be in the pipeline. It applies to later acquisitions.
    pub fn set_bytes_max(&self, bytes: u64) {
        self.bytes.limit.store(bytes, Ordering::Relaxed);
    }

    /// Waits for permits. Waiters get them in the order in which they came.
    ///
    /// # Errors
    ///
    /// Fails once admission is closed.
    pub async fn acquire(&self, operations: usize, bytes: usize) -> Result<Permit, AcquireError> {
        Ok(Permit {
            _operations: self.operations.acquire(operations).await?,
            _bytes: self.bytes.acquire(bytes).await?,
        })
    }

    /// Acquires permits without waiting.
    ///
    /// # Errors
    ///
    /// Fails if there are not enough permits now, or if admission is closed.
    pub fn try_acquire(&self, operations: usize, bytes: usize) -> Result<Permit, TryAcquireError> {
        Ok(Permit {
            _operations: self.operations.try_acquire(operations)?,
            _bytes: self.bytes.try_acquire(bytes)?,
        })
    }

    /// Admits nothing more. Those who wait for permits get an error.
    pub fn close(&self) {
        self.operations.semaphore.close();
        self.bytes.semaphore.close();
    }
}

/// The next place in the order of submissions.
#[derive(Debug)]
pub struct Sequencer {
    /// The next sequence number.
    pub next_sequence: u64,
    /// The provisional root after the last submission.
    pub provisional_root: Digest,
    /// Whether the engine shuts down and takes no submission.
    pub closed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_permits_come_back() {
        let admission = Admission::new(10, 100);
        let permit = admission.try_acquire(8, 100).unwrap();
        assert!(admission.try_acquire(1, 1).is_err());
        assert!(admission.try_acquire(3, 0).is_err());
        drop(permit);
        assert!(admission.try_acquire(10, 100).is_ok());
    }

    #[test]
    fn closed_admission_admits_nothing() {
        let admission = Admission::new(1, 1);
        admission.close();
        let refused = admission.try_acquire(1, 1);
        assert!(matches!(refused, Err(TryAcquireError::Closed)));
    }

    #[test]
    fn a_limit_changes_while_permits_are_out() {
        let admission = Admission::new(1000, 1000);
        let half = admission.try_acquire(500, 0).unwrap();
        admission.set_operations_max(100);
        // The other half of the permits is 50 operations now.
        let others = admission.try_acquire(50, 0).unwrap();
        assert!(admission.try_acquire(1, 0).is_err());
        drop((half, others));
        admission.set_operations_max(2000);
        assert!(admission.try_acquire(2000, 0).is_ok());
    }

    #[test]
    fn a_submission_above_the_limit_passes_alone() {
        let admission = Admission::new(10, 10);
        let large = admission.try_acquire(1_000_000, 1 << 40).unwrap();
        assert!(admission.try_acquire(1, 0).is_err());
        drop(large);
        assert!(admission.try_acquire(10, 10).is_ok());
    }

    #[test]
    fn a_limit_can_be_reached_to_its_last_operation() {
        for limit in [1, 3, 7, 10, 1000] {
            let admission = Admission::new(limit, 0);
            let acquire = |_| admission.try_acquire(1, 0).unwrap();
            let held: Vec<_> = (0..limit).map(acquire).collect();
            assert!(admission.try_acquire(1, 0).is_err());
            drop(held);
        }
    }

    #[test]
    fn weights_stay_within_the_number_of_permits() {
        let permits = Permits::new(usize::MAX);
        assert_eq!(permits.weight(0), 0);
        assert_eq!(permits.weight(1), 1);
        assert_eq!(Permits::new(1).weight(usize::MAX), PERMITS);
    }
}
