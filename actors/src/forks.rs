//! The memory of all forks of an engine, in bytes.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::metrics::Metrics;

/// The forks of an engine.
#[derive(Debug)]
pub struct Forks {
    held: Mutex<Held>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Held {
    forks: usize,
    bytes: u64,
}

/// All forks together would take more bytes than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "forks take {bytes} bytes of memory, and {more} more would exceed the {bytes_max} that they may take: commit or drop \
     forks, or raise versions.fork_bytes_max"
)]
pub struct ForksFull {
    /// The bytes that all forks take.
    pub bytes: u64,
    /// The additional bytes that were needed.
    pub more: u64,
    /// The bytes that forks may take.
    pub bytes_max: u64,
}

/// The bytes of one fork. Dropping it releases them.
#[derive(Debug)]
pub struct ForkBytes {
    forks: Arc<Forks>,
    bytes: u64,
}

impl Forks {
    /// Creates the account of an engine without forks.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            held: Mutex::default(),
            metrics,
        }
    }

    /// Begins a fork.
    ///
    /// # Errors
    ///
    /// Fails if forks would take more than `bytes_max`.
    pub fn begin(self: &Arc<Self>, bytes: u64, bytes_max: u64) -> Result<ForkBytes, ForksFull> {
        self.take(bytes, bytes_max, 1)?;
        Ok(ForkBytes {
            forks: self.clone(),
            bytes,
        })
    }

    fn take(&self, more: u64, bytes_max: u64, forks: usize) -> Result<(), ForksFull> {
        self.change(|held| {
            let bytes = held.bytes;
            if bytes.saturating_add(more) > bytes_max {
                return Err(ForksFull {
                    bytes,
                    more,
                    bytes_max,
                });
            }
            held.bytes += more;
            held.forks += forks;
            Ok(())
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Held) -> T) -> T {
        let mut held = self.held.lock();
        let result = change(&mut held);
        self.metrics.forks(held.forks);
        self.metrics.fork_bytes(held.bytes);
        result
    }
}

impl ForkBytes {
    /// Takes more bytes, before they are needed.
    ///
    /// # Errors
    ///
    /// Fails if forks would take more than `bytes_max`.
    pub fn take(&mut self, more: u64, bytes_max: u64) -> Result<(), ForksFull> {
        self.forks.take(more, bytes_max, 0)?;
        self.bytes += more;
        Ok(())
    }

    /// Sets the bytes that the fork really takes.
    pub fn set(&mut self, bytes: u64) {
        let before = std::mem::replace(&mut self.bytes, bytes);
        self.forks
            .change(|held| held.bytes = held.bytes.saturating_add(bytes).saturating_sub(before));
    }
}

impl Drop for ForkBytes {
    fn drop(&mut self) {
        let bytes = self.bytes;
        self.forks.change(|held| {
            held.bytes = held.bytes.saturating_sub(bytes);
            held.forks -= 1;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_fork_takes_is_bounded_and_comes_back() {
        let metrics = Arc::new(Metrics::new("test"));
        let forks = Arc::new(Forks::new(metrics.clone()));
        let shown = || {
            let figures = metrics.snapshot();
            (figures.forks, figures.fork_bytes)
        };
        let mut one = forks.begin(10, 100).unwrap();
        one.take(50, 100).unwrap();
        let two = forks.begin(40, 100).unwrap();
        assert_eq!(shown(), (2, 100));
        let full = ForksFull {
            bytes: 100,
            more: 1,
            bytes_max: 100,
        };
        assert_eq!(one.take(1, 100), Err(full));
        assert!(forks.begin(1, 100).is_err());
        // More than was estimated: then nothing more fits.
        one.set(70);
        assert_eq!(shown(), (2, 110));
        assert!(forks.begin(0, 100).is_err());
        drop(two);
        assert_eq!(shown(), (1, 70));
        drop(one);
        assert_eq!(shown(), (0, 0));
    }
}
