//! Divides work into shards, for the calling thread and those of a pool.
//!
//! The engine chooses the number of threads for each group.

use std::sync::{Mutex, PoisonError};

use rayon::ThreadPool;

/// A pool, and the number of threads that work together: the calling one and others of the pool.
pub(crate) type Threads<'a> = (&'a ThreadPool, usize);

/// Number of shards per thread. A thread whose core also has other work then takes fewer of them, and the others do not
/// wait for it long.
const SHARDS_A_THREAD: usize = 4;

/// Returns the number of shards for some threads: one if there is no other thread.
pub(crate) fn shards_for(threads: Option<Threads<'_>>) -> usize {
    match threads {
        Some((_, threads @ 2..)) => threads * SHARDS_A_THREAD,
        _ => 1,
    }
}

/// Calls `work` for each item. Each thread takes the next item when it is done with one.
pub(crate) fn each<T: Send>(
    threads: Option<Threads<'_>>,
    items: &mut [T],
    work: impl Fn(&mut T) + Sync,
) {
    let others = threads.map_or(0, |(_, threads)| threads.min(items.len()).saturating_sub(1));
    let Some((pool, _)) = threads.filter(|_| others > 0) else {
        return items.iter_mut().for_each(work);
    };
    let items = Mutex::new(items.iter_mut());
    let next = || {
        let mut items = items.lock().unwrap_or_else(PoisonError::into_inner);
        items.next()
    };
    let run = || {
        while let Some(item) = next() {
            work(item);
        }
    };
    pool.in_place_scope(|scope| {
        for _ in 0..others {
            scope.spawn(|_| run());
        }
        run();
    });
}
