//! Credit: what bounds the operations and bytes that are on their way through the pipeline.
//!
//! A submission buys credit at the door and carries it along; wherever the submission is dropped,
//! in the last stage or in a failing one, the credit comes back. Mailboxes need no bound of their
//! own then. Not here: how many groups may be in flight (`message::GroupSlot`).

use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, TryAcquireError};

/// The credit of one engine.
#[derive(Clone, Debug)]
pub(crate) struct CreditPool {
    operations: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

/// Bought credit; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Credit {
    _operations: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl CreditPool {
    pub(crate) fn new(operations: usize, bytes: usize) -> Self {
        Self {
            operations: Arc::new(Semaphore::new(operations)),
            bytes: Arc::new(Semaphore::new(bytes)),
        }
    }

    /// Waits for credit. Waiters are served in the order they came in.
    pub(crate) async fn buy(&self, operations: u32, bytes: u32) -> Result<Credit, AcquireError> {
        let operations = self.operations.clone().acquire_many_owned(operations);
        let operations = operations.await?;
        Ok(Credit {
            _operations: operations,
            _bytes: self.bytes.clone().acquire_many_owned(bytes).await?,
        })
    }

    /// Credit at once or not at all.
    pub(crate) fn try_buy(&self, operations: u32, bytes: u32) -> Result<Credit, TryAcquireError> {
        Ok(Credit {
            _operations: self.operations.clone().try_acquire_many_owned(operations)?,
            _bytes: self.bytes.clone().try_acquire_many_owned(bytes)?,
        })
    }

    /// Lets nobody in any more; those who wait are turned away.
    pub(crate) fn close(&self) {
        self.operations.close();
        self.bytes.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_credit_comes_back() {
        let pool = CreditPool::new(10, 100);
        let credit = pool.try_buy(8, 100).unwrap();
        assert!(pool.try_buy(1, 1).is_err());
        assert!(pool.try_buy(3, 0).is_err());
        drop(credit);
        assert!(pool.try_buy(10, 100).is_ok());
    }

    #[test]
    fn a_closed_pool_turns_away() {
        let pool = CreditPool::new(1, 1);
        pool.close();
        assert!(matches!(pool.try_buy(1, 1), Err(TryAcquireError::Closed)));
    }
}
