//! Work in shards, on the calling thread and those of a pool.
//!
//! Not here: how many shards, which the engine decides for each group.

use rayon::ThreadPool;

/// Calls `work` for each item: one after the other, or the first on this thread and the others on those of a pool.
/// This thread takes part, so that cutting work in two wakes one thread.
pub(crate) fn each<T: Send>(
    pool: Option<&ThreadPool>,
    items: &mut [T],
    work: impl Fn(&mut T) + Sync,
) {
    let (Some(pool), [first, others @ ..]) = (pool.filter(|_| items.len() > 1), &mut *items) else {
        return items.iter_mut().for_each(work);
    };
    pool.in_place_scope(|scope| {
        let work = &work;
        others
            .iter_mut()
            .for_each(|item| scope.spawn(move |_| work(item)));
        work(first);
    });
}
