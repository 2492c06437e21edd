//! Pools of worker threads.

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

use super::priority;

/// The two pools of an engine. They are separate so that neither kind of work queues behind the other.
#[derive(Debug)]
pub struct Pools {
    /// Runs work of commits that is cut into shards: preparing, loading, hashing.
    pub commit: ThreadPool,
    /// Runs proofs and reads of many keys. It has priority where both pools want the same core.
    pub read: ThreadPool,
}

impl Pools {
    /// Starts both pools with these numbers of threads; 0 stands for one for each core.
    ///
    /// # Errors
    ///
    /// Fails if the system has no thread left.
    pub fn start(threads: usize, read_threads: usize) -> Result<Self, ThreadPoolBuildError> {
        let named = |threads, name: &'static str| {
            ThreadPoolBuilder::new()
                .num_threads(threads)
                .thread_name(move |index| format!("trunkline-{name}-{index}"))
        };
        let commit = named(threads, "worker").start_handler(|_| priority::bulk());
        Ok(Self {
            commit: commit.build()?,
            read: named(read_threads, "reader").build()?,
        })
    }
}
