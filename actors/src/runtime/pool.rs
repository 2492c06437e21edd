//! Pools of worker threads.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

use tokio::sync::{Semaphore, oneshot};

use super::priority;
#[cfg(feature = "simulation")]
use super::simulated;

/// Most reads of async callers that are running or queued in the pool. Others wait for a permit.
const ASYNC_READS_MAX: usize = 256;

/// A pool of worker threads, or none: then the calling thread does the work. In a simulation there is none.
#[derive(Debug)]
pub struct Pool(Option<ThreadPool>);

impl Pool {
    /// Returns the threads, if there are any.
    pub fn threads(&self) -> Option<&ThreadPool> {
        self.0.as_ref()
    }
}

/// The two pools of an engine. They are separate so that neither kind of work queues behind the other.
#[derive(Debug)]
pub struct Pools {
    /// Runs the sharded work of commits: preparing, loading, hashing.
    pub commit: Pool,
    /// Runs proofs and reads of many keys. It has priority if both pools want the same core.
    pub read: Pool,
    async_reads: Arc<Semaphore>,
}

impl Pools {
    /// Starts both pools with these numbers of threads; 0 means one for each core.
    ///
    /// # Errors
    ///
    /// Fails if the system has no thread left.
    pub fn start(threads: usize, read_threads: usize) -> Result<Self, ThreadPoolBuildError> {
        #[cfg(feature = "simulation")]
        if simulated::current().is_some() {
            let (commit, read) = (Pool(None), Pool(None));
            return Ok(Self::of(commit, read));
        }
        let named = |threads, name: &'static str| {
            ThreadPoolBuilder::new()
                .num_threads(threads)
                .thread_name(move |index| format!("trunkline-{name}-{index}"))
        };
        let commit = named(threads, "worker").start_handler(|_| priority::bulk());
        let commit = Pool(Some(commit.build()?));
        let read = Pool(Some(named(read_threads, "reader").build()?));
        Ok(Self::of(commit, read))
    }

    fn of(commit: Pool, read: Pool) -> Self {
        Self {
            commit,
            read,
            async_reads: Arc::new(Semaphore::new(ASYNC_READS_MAX)),
        }
    }

    /// Runs a read in the pool for reads and returns its result. Work that has not begun is skipped if the future is
    /// dropped. Propagates a panic of the work. Without a pool, the caller's thread does the work.
    pub async fn read_async<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        // The semaphore is never closed.
        let permit = self.async_reads.clone().acquire_owned().await;
        let Some(threads) = self.read.threads() else {
            return work();
        };
        let (answer, answered) = oneshot::channel();
        threads.spawn(move || {
            let _permit = permit;
            if answer.is_closed() {
                return;
            }
            // Otherwise the pool would abort the process.
            let result = catch_unwind(AssertUnwindSafe(work));
            let _ = answer.send(result);
        });
        match answered.await {
            Ok(Ok(value)) => value,
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => unreachable!("a read whose future waits is answered"),
        }
    }
}
