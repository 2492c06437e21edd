//! commonware-storage: authenticated logs of operations, in several forms.
//!
//! The crate's own settings for benchmarks of a million keys: merkle mountain belt, SHA-256, index by the
//! first eight bytes, 10 million items a blob, proportional floor; write and replay buffers of 2 MiB.
//! Page cache of 1 GiB (allocated at once); as many threads as cores. A batch is merkleized, applied and
//! committed: one `fdatasync` of the log of operations. With several batches in flight `start_sync` stands for
//! `commit`, its pipelined form: the next batches are applied while the file syncs.

use std::collections::HashMap;
use std::num::{NonZeroU16, NonZeroU64, NonZeroUsize};
use std::path::Path;

use commonware_cryptography::sha256::Digest;
use commonware_parallel::Rayon;
use commonware_runtime::buffer::paged::{CacheRef, page_size};
use commonware_runtime::tokio::{Config as RuntimeConfig, Context, Runner};
use commonware_runtime::{BLOB_PAGE_SIZE, Runner as _, Strategizer};
use commonware_storage::journal::contiguous::fixed;
use commonware_storage::merkle::Location;
use commonware_storage::merkle::full::Config as MerkleConfig;
use commonware_storage::merkle::mmb::Family;
use commonware_storage::qmdb;
use commonware_storage::qmdb::any::Config;
use commonware_storage::qmdb::any::traits::{
    BatchableDb, DbAny, MerkleizedBatch, UnmerkleizedBatch,
};
use commonware_storage::qmdb::floor::Proportional;
use commonware_storage::translator::EightCap;
use futures::executor::block_on;

use super::{Peer, Pending, Proof, durable_already};
use crate::error::BenchError;
use crate::job::Job;
use crate::workload::{Key, Value, Write};

mod any;
mod current;

pub(super) use any::{Fixed, Ordered, Variable};
pub(super) use current::{Current, CurrentOrdered};

const PAGE_SIZE: NonZeroU16 = page_size(BLOB_PAGE_SIZE);
const PAGE_CACHE_BYTES: usize = 1 << 30;
const ITEMS_PER_BLOB: NonZeroU64 = NonZeroU64::new(10_000_000).unwrap();
const BUFFER_BYTES: NonZeroUsize = NonZeroUsize::new(2 << 20).unwrap();
const INIT_CACHE: NonZeroUsize = NonZeroUsize::new(1 << 18).unwrap();

/// The locations of the last operations of keys in the log.
type Places = HashMap<Key, Location<Family>>;

/// The differences between the forms.
pub(super) trait Form: Send + 'static {
    type Db: DbAny<Family, Key = Digest, Value: Stored, Digest = Digest> + 'static;

    const PROOF_KIND: &'static str;
    const PROVES_ABSENCE: bool;

    async fn open(context: Context) -> Result<Self::Db, BenchError>;

    /// Returns the locations of the operations of keys, for a form that cannot find them itself.
    async fn places(_: &Self::Db, _: &[Key]) -> Result<Places, BenchError> {
        Ok(Places::new())
    }

    async fn prove(db: &Self::Db, places: &Places, key: &Key)
    -> Result<Box<dyn Proof>, BenchError>;
}

/// A value in the representation of a form.
pub(super) trait Stored: Send + Sync + Sized {
    fn of(value: &Value) -> Self;
    fn value(self) -> Option<Value>;
}

impl Stored for Digest {
    fn of(value: &Value) -> Self {
        Self(*value)
    }

    fn value(self) -> Option<Value> {
        Some(self.0)
    }
}

impl Stored for Vec<u8> {
    fn of(value: &Value) -> Self {
        value.to_vec()
    }

    fn value(self) -> Option<Value> {
        self.try_into().ok()
    }
}

fn page_cache() -> CacheRef {
    let pages = NonZeroUsize::new(PAGE_CACHE_BYTES / BLOB_PAGE_SIZE as usize);
    CacheRef::new(PAGE_SIZE, pages.unwrap_or(NonZeroUsize::MIN))
}

fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

fn config<J>(context: &Context, cache: CacheRef, journal: J) -> Config<EightCap, J, Rayon> {
    Config {
        merkle_config: MerkleConfig {
            // A journal adds suffixes to the name of its partition; `nodes-metadata` would collide with itself.
            journal_partition: "nodes".to_owned(),
            metadata_partition: "pinned".to_owned(),
            items_per_blob: ITEMS_PER_BLOB,
            write_buffer: BUFFER_BYTES,
            replay_buffer: BUFFER_BYTES,
            strategy: context.strategy(cores()),
            page_cache: cache,
        },
        journal_config: journal,
        translator: EightCap,
        init_cache: Some(INIT_CACHE),
        init_buffer: BUFFER_BYTES,
        init_concurrency: (),
    }
}

fn fixed_config(context: &Context) -> Config<EightCap, fixed::Config, Rayon> {
    let cache = page_cache();
    let journal = fixed::Config {
        partition: "log".to_owned(),
        items_per_blob: ITEMS_PER_BLOB,
        page_cache: cache.clone(),
        write_buffer: BUFFER_BYTES,
        replay_buffer: BUFFER_BYTES,
    };
    config(context, cache, journal)
}

/// Runs `body` inside the engine's own runtime, on a thread of its own: there, waiting for a ready future costs
/// nothing, and tokio's budget for tasks does not apply.
pub(super) fn with_form<F: Form, T: Send>(
    job: &Job,
    directory: &Path,
    body: impl FnOnce(Box<dyn Peer + '_>) -> Result<T, BenchError> + Send,
) -> Result<T, BenchError> {
    let config = RuntimeConfig::new()
        .with_storage_directory(directory)
        .with_worker_threads(cores().get());
    Runner::new(config).start(|context| async move {
        let db = F::open(context).await?;
        let runtime = tokio::runtime::Handle::current();
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                let _entered = runtime.enter();
                body(Box::new(Commonware::<F> {
                    db: Some(db),
                    in_flight: job.line.in_flight,
                    places: Places::new(),
                }))
            });
            let panicked = |_| BenchError::at("run")("the thread panicked");
            thread.join().map_err(panicked)?
        })
    })
}

struct Commonware<F: Form> {
    /// The database; taken while a batch is applied, and lost after a failure.
    db: Option<F::Db>,
    in_flight: usize,
    /// The locations of the keys to prove.
    places: Places,
}

impl<F: Form> Commonware<F> {
    fn db(&self) -> Result<&F::Db, BenchError> {
        self.db.as_ref().ok_or_else(Self::gone)
    }

    fn gone() -> BenchError {
        BenchError::at("use it")("it failed before")
    }

    async fn apply(db: F::Db, batch: &[Write]) -> Result<F::Db, qmdb::Error<Family>> {
        let mut writes = db.new_batch();
        for write in batch {
            writes = writes.write(Digest(write.key), Some(Stored::of(&write.value)));
        }
        let merkleized = writes.merkleize(&db, None, &mut Proportional).await?;
        std::hint::black_box(merkleized.root());
        db.apply_batch(merkleized).await
    }
}

impl<F: Form> Peer for Commonware<F> {
    fn submit(&mut self, batch: &[Write]) -> Result<Pending, BenchError> {
        let db = self.db.take().ok_or_else(Self::gone)?;
        let db = block_on(Self::apply(db, batch)).map_err(BenchError::at("apply"))?;
        if self.in_flight == 1 {
            self.db = Some(block_on(db.commit()).map_err(BenchError::at("commit"))?);
            return Ok(durable_already());
        }
        let (db, synced) = block_on(db.start_sync()).map_err(BenchError::at("commit"))?;
        self.db = Some(db);
        Ok(Box::new(move || {
            block_on(synced).map_err(BenchError::at("commit"))
        }))
    }

    fn get(&mut self, key: &Key) -> Result<Option<Value>, BenchError> {
        let key = Digest(*key);
        let found = block_on(self.db()?.get(&key)).map_err(BenchError::at("get"))?;
        Ok(found.and_then(Stored::value))
    }

    fn proof_kinds(&self) -> &'static [&'static str] {
        &[F::PROOF_KIND]
    }

    fn proves_absence(&self) -> bool {
        F::PROVES_ABSENCE
    }

    fn prepare_proofs(&mut self, keys: &[Key]) -> Result<(), BenchError> {
        self.places = block_on(F::places(self.db()?, keys))?;
        Ok(())
    }

    fn prove(&mut self, _: &'static str, key: &Key) -> Result<Box<dyn Proof>, BenchError> {
        block_on(F::prove(self.db()?, &self.places, key))
    }

    /// Everything is synced: `commit` leaves the Merkle nodes to be recomputed when the database is opened.
    fn close(self: Box<Self>) -> Result<(), BenchError> {
        let db = self.db.ok_or_else(Self::gone)?;
        block_on(db.sync()).map_err(BenchError::at("sync"))?;
        Ok(())
    }
}
