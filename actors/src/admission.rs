//! Credit: what bounds the operations and bytes that are on their way through the pipeline.
//!
//! A submission buys credit at the door and carries it along; wherever the submission is dropped,
//! in the last stage or in a failing one, the credit comes back. Mailboxes need no bound of their
//! own then. The amount of credit is fixed, and its price follows the limit: a limit can be moved while
//! submissions wait and are under way, none waits for what there is no more of, and one above the limit
//! passes alone. Not here: how many groups may be in flight (`in_flight`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, TryAcquireError};

/// Credit there is, of operations and of bytes.
const CREDIT: u32 = 1 << 30;

/// One kind of credit.
#[derive(Debug)]
struct Purse {
    credit: Arc<Semaphore>,
    limit: AtomicU64,
}

impl Purse {
    fn new(limit: usize) -> Self {
        Self {
            credit: Arc::new(Semaphore::new(CREDIT as usize)),
            limit: AtomicU64::new(limit as u64),
        }
    }

    /// What an amount costs: its part of the limit, rounded down so that the limit can be used up; at most all
    /// there is.
    fn price(&self, amount: usize) -> u32 {
        let limit = u128::from(self.limit.load(Ordering::Relaxed).max(1));
        let price = amount as u128 * u128::from(CREDIT) / limit;
        let least = u32::from(amount > 0);
        u32::try_from(price).map_or(CREDIT, |price| price.clamp(least, CREDIT))
    }
}

/// The credit of one engine.
#[derive(Debug)]
pub struct CreditPool {
    operations: Purse,
    bytes: Purse,
}

/// Bought credit; dropping it gives it back.
#[derive(Debug)]
pub struct Credit {
    _operations: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl CreditPool {
    pub fn new(operations: usize, bytes: usize) -> Self {
        Self {
            operations: Purse::new(operations),
            bytes: Purse::new(bytes),
        }
    }

    /// Operations that may be on their way.
    pub fn operations_max(&self) -> u64 {
        self.operations.limit.load(Ordering::Relaxed)
    }

    /// Another limit for those who come from now on.
    pub fn set_operations_max(&self, operations: u64) {
        self.operations.limit.store(operations, Ordering::Relaxed);
    }

    /// Another limit for those who come from now on.
    pub fn set_bytes_max(&self, bytes: u64) {
        self.bytes.limit.store(bytes, Ordering::Relaxed);
    }

    /// Waits for credit. Waiters are served in the order they came in.
    pub async fn buy(&self, operations: usize, bytes: usize) -> Result<Credit, AcquireError> {
        let price = self.operations.price(operations);
        let operations = self.operations.credit.clone().acquire_many_owned(price);
        let operations = operations.await?;
        let price = self.bytes.price(bytes);
        Ok(Credit {
            _operations: operations,
            _bytes: self.bytes.credit.clone().acquire_many_owned(price).await?,
        })
    }

    /// Credit at once or not at all.
    pub fn try_buy(&self, operations: usize, bytes: usize) -> Result<Credit, TryAcquireError> {
        let buy = |purse: &Purse, amount| {
            purse
                .credit
                .clone()
                .try_acquire_many_owned(purse.price(amount))
        };
        Ok(Credit {
            _operations: buy(&self.operations, operations)?,
            _bytes: buy(&self.bytes, bytes)?,
        })
    }

    /// Lets nobody in any more; those who wait are turned away.
    pub fn close(&self) {
        self.operations.credit.close();
        self.bytes.credit.close();
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

    #[test]
    fn a_limit_moves_while_credit_is_out() {
        let pool = CreditPool::new(1000, 1000);
        let half = pool.try_buy(500, 0).unwrap();
        pool.set_operations_max(100);
        // The other half of the credit is 50 operations now.
        let others = pool.try_buy(50, 0).unwrap();
        assert!(pool.try_buy(1, 0).is_err());
        drop((half, others));
        pool.set_operations_max(2000);
        assert!(pool.try_buy(2000, 0).is_ok());
    }

    #[test]
    fn what_is_above_the_limit_passes_alone() {
        let pool = CreditPool::new(10, 10);
        let large = pool.try_buy(1_000_000, 1 << 40).unwrap();
        assert!(pool.try_buy(1, 0).is_err());
        drop(large);
        assert!(pool.try_buy(10, 10).is_ok());
    }

    #[test]
    fn a_limit_can_be_used_up_to_its_last_operation() {
        for limit in [1, 3, 7, 10, 1000] {
            let pool = CreditPool::new(limit, 0);
            let held: Vec<_> = (0..limit).map(|_| pool.try_buy(1, 0).unwrap()).collect();
            assert!(pool.try_buy(1, 0).is_err());
            drop(held);
        }
    }

    #[test]
    fn prices_stay_within_what_there_is() {
        let purse = Purse::new(usize::MAX);
        assert_eq!(purse.price(0), 0);
        assert_eq!(purse.price(1), 1);
        assert_eq!(Purse::new(1).price(usize::MAX), CREDIT);
    }
}
