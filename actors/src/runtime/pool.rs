//! Pools of worker threads.

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

use super::priority;
#[cfg(feature = "simulation")]
use super::simulated;

/// A pool of worker threads, or none: then the thread that has work does it. In a simulation there is none.
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
    /// Runs work of commits that is cut into shards: preparing, loading, hashing.
    pub commit: Pool,
    /// Runs proofs and reads of many keys. It has priority where both pools want the same core.
    pub read: Pool,
}

impl Pools {
    /// Starts both pools with these numbers of threads; 0 stands for one for each core.
    ///
    /// # Errors
    ///
    /// Fails if the system has no thread left.
    pub fn start(threads: usize, read_threads: usize) -> Result<Self, ThreadPoolBuildError> {
        #[cfg(feature = "simulation")]
        if simulated::current().is_some() {
            let (commit, read) = (Pool(None), Pool(None));
            return Ok(Self { commit, read });
        }
        let named = |threads, name: &'static str| {
            ThreadPoolBuilder::new()
                .num_threads(threads)
                .thread_name(move |index| format!("trunkline-{name}-{index}"))
        };
        let commit = named(threads, "worker").start_handler(|_| priority::bulk());
        Ok(Self {
            commit: Pool(Some(commit.build()?)),
            read: Pool(Some(named(read_threads, "reader").build()?)),
        })
    }
}
