//! commonware-storage: the authenticated log of operations `qmdb::any`, in three forms.
//!
//! The crate's own settings for benchmarks of a million keys: merkle mountain belt, SHA-256, index by the
//! first eight bytes, 10 million items a blob, proportional floor; write and replay buffers of 2 MiB.
//! Page cache of 1 GiB (allocated at once); as many threads as cores. A batch is merkleized, applied and
//! committed: one `fdatasync` of the log of operations.

use std::collections::HashMap;
use std::num::{NonZeroU16, NonZeroU64, NonZeroUsize};
use std::path::Path;

use commonware_codec::EncodeSize;
use commonware_cryptography::sha256::{Digest, Sha256};
use commonware_parallel::Rayon;
use commonware_runtime::buffer::paged::{CacheRef, page_size};
use commonware_runtime::tokio::{Config as RuntimeConfig, Context, Runner};
use commonware_runtime::{BLOB_PAGE_SIZE, Runner as _, Strategizer, Supervisor};
use commonware_storage::journal::contiguous::{fixed, variable};
use commonware_storage::merkle::full::Config as MerkleConfig;
use commonware_storage::merkle::mmb::Family;
use commonware_storage::merkle::{self, Location};
use commonware_storage::qmdb::any::traits::{
    BatchableDb, DbAny, MerkleizedBatch, Provable, UnmerkleizedBatch,
};
use commonware_storage::qmdb::any::{
    Config, FixedConfig, VariableConfig, ordered as ordered_form, unordered as unordered_form,
};
use commonware_storage::qmdb::floor::Proportional;
use commonware_storage::qmdb::{self, verify_proof};
use commonware_storage::translator::EightCap;
use futures::executor::block_on;

use super::{Peer, Pending, Proof, durable_already};
use crate::error::BenchError;
use crate::workload::{Key, Value, Write};

const PAGE_SIZE: NonZeroU16 = page_size(BLOB_PAGE_SIZE);
const PAGE_CACHE_BYTES: usize = 1 << 30;
const ITEMS_PER_BLOB: NonZeroU64 = NonZeroU64::new(10_000_000).unwrap();
const BUFFER_BYTES: NonZeroUsize = NonZeroUsize::new(2 << 20).unwrap();
const INIT_CACHE: NonZeroUsize = NonZeroUsize::new(1 << 18).unwrap();
/// How many operations of the log are looked through at a time for the keys to prove.
const SCAN_OPERATIONS: NonZeroU64 = NonZeroU64::new(20_000).unwrap();

type FixedDb = unordered_form::fixed::Db<Family, Context, Digest, Digest, Sha256, EightCap, Rayon>;
type VariableDb =
    unordered_form::variable::Db<Family, Context, Digest, Vec<u8>, Sha256, EightCap, Rayon>;
type OrderedDb = ordered_form::fixed::Db<Family, Context, Digest, Digest, Sha256, EightCap, Rayon>;

/// What the three forms differ in.
trait Form: Send + 'static {
    type Stored: Send + Sync;
    type Operation: EncodeSize + commonware_codec::Encode + Clone + Send + 'static;
    type Db: DbAny<Family, Key = Digest, Value = Self::Stored, Digest = Digest>
        + Provable<Family, Operation = Self::Operation>
        + 'static;

    const PROVES_ABSENCE: bool;

    async fn open(context: Context) -> Result<Self::Db, BenchError>;
    fn stored(value: &Value) -> Self::Stored;
    fn value(stored: Self::Stored) -> Option<Value>;
    fn updated_key(operation: &Self::Operation) -> Option<Key>;
    fn with_value(operation: &Self::Operation, value: &Value) -> Self::Operation;

    /// Where the operation is that speaks of a key, present or absent, if the form keeps that.
    async fn place(_: &Self::Db, _: &Digest) -> Result<Option<Location<Family>>, BenchError> {
        Ok(None)
    }

    /// Whether an operation says that there is nothing at a key.
    fn spans(_: &Self::Operation, _: &Key) -> bool {
        false
    }
}

struct Fixed;
struct Variable;
struct Ordered;

impl Form for Fixed {
    type Stored = Digest;
    type Operation = unordered_form::fixed::Operation<Family, Digest, Digest>;
    type Db = FixedDb;

    const PROVES_ABSENCE: bool = false;

    async fn open(context: Context) -> Result<FixedDb, BenchError> {
        let config = fixed_config(&context);
        FixedDb::init(context.child("storage"), config, None)
            .await
            .map_err(BenchError::at("open"))
    }

    fn stored(value: &Value) -> Digest {
        Digest(*value)
    }

    fn value(stored: Digest) -> Option<Value> {
        Some(stored.0)
    }

    fn updated_key(operation: &Self::Operation) -> Option<Key> {
        match operation {
            unordered_form::Operation::Update(update) => Some(update.0.0),
            _ => None,
        }
    }

    fn with_value(operation: &Self::Operation, value: &Value) -> Self::Operation {
        let mut other = operation.clone();
        if let unordered_form::Operation::Update(update) = &mut other {
            update.1 = Digest(*value);
        }
        other
    }
}

impl Form for Variable {
    type Stored = Vec<u8>;
    type Operation = unordered_form::variable::Operation<Family, Digest, Vec<u8>>;
    type Db = VariableDb;

    const PROVES_ABSENCE: bool = false;

    async fn open(context: Context) -> Result<VariableDb, BenchError> {
        const VALUE_BYTES_MAX: usize = 10_000;
        let cache = page_cache();
        let journal = variable::Config {
            partition: "log".to_owned(),
            items_per_section: ITEMS_PER_BLOB,
            compression: None,
            codec_config: ((), ((0..=VALUE_BYTES_MAX).into(), ())),
            page_cache: cache.clone(),
            write_buffer: BUFFER_BYTES,
            replay_buffer: BUFFER_BYTES,
        };
        let config: VariableConfig<_, _, _> = config(&context, cache, journal);
        VariableDb::init(context.child("storage"), config, None)
            .await
            .map_err(BenchError::at("open"))
    }

    fn stored(value: &Value) -> Vec<u8> {
        value.to_vec()
    }

    fn value(stored: Vec<u8>) -> Option<Value> {
        stored.try_into().ok()
    }

    fn updated_key(operation: &Self::Operation) -> Option<Key> {
        match operation {
            unordered_form::Operation::Update(update) => Some(update.0.0),
            _ => None,
        }
    }

    fn with_value(operation: &Self::Operation, value: &Value) -> Self::Operation {
        let mut other = operation.clone();
        if let unordered_form::Operation::Update(update) = &mut other {
            update.1 = value.to_vec();
        }
        other
    }
}

impl Form for Ordered {
    type Stored = Digest;
    type Operation = ordered_form::fixed::Operation<Family, Digest, Digest>;
    type Db = OrderedDb;

    const PROVES_ABSENCE: bool = true;

    async fn open(context: Context) -> Result<OrderedDb, BenchError> {
        let config = fixed_config(&context);
        OrderedDb::init(context.child("storage"), config, None)
            .await
            .map_err(BenchError::at("open"))
    }

    fn stored(value: &Value) -> Digest {
        Digest(*value)
    }

    fn value(stored: Digest) -> Option<Value> {
        Some(stored.0)
    }

    fn updated_key(operation: &Self::Operation) -> Option<Key> {
        match operation {
            ordered_form::Operation::Update(update) => Some(update.key.0),
            _ => None,
        }
    }

    fn with_value(operation: &Self::Operation, value: &Value) -> Self::Operation {
        let mut other = operation.clone();
        if let ordered_form::Operation::Update(update) = &mut other {
            update.value = Digest(*value);
        }
        other
    }

    async fn place(db: &OrderedDb, key: &Digest) -> Result<Option<Location<Family>>, BenchError> {
        let span = db.get_span(key).await.map_err(BenchError::at("prove"))?;
        Ok(span.map(|(location, _)| location))
    }

    fn spans(operation: &Self::Operation, key: &Key) -> bool {
        let ordered_form::Operation::Update(update) = operation else {
            return false;
        };
        let (from, to) = (update.key.0, update.next_key.0);
        if from < to {
            from < *key && *key < to
        } else {
            from < *key || *key < to
        }
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
            // A journal adds suffixes to its partition's name; `nodes-metadata` would meet itself.
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

fn fixed_config(context: &Context) -> FixedConfig<EightCap, Rayon> {
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

type Body<'a, T> = dyn FnOnce(Box<dyn Peer + '_>) -> Result<T, BenchError> + Send + 'a;

/// `any::unordered::fixed`.
pub(super) fn with_fixed<T: Send>(
    directory: &Path,
    body: impl FnOnce(Box<dyn Peer + '_>) -> Result<T, BenchError> + Send,
) -> Result<T, BenchError> {
    with_form::<Fixed, T>(directory, Box::new(body))
}

/// `any::unordered::variable`.
pub(super) fn with_variable<T: Send>(
    directory: &Path,
    body: impl FnOnce(Box<dyn Peer + '_>) -> Result<T, BenchError> + Send,
) -> Result<T, BenchError> {
    with_form::<Variable, T>(directory, Box::new(body))
}

/// `any::ordered::fixed`.
pub(super) fn with_ordered<T: Send>(
    directory: &Path,
    body: impl FnOnce(Box<dyn Peer + '_>) -> Result<T, BenchError> + Send,
) -> Result<T, BenchError> {
    with_form::<Ordered, T>(directory, Box::new(body))
}

/// Inside its own runtime, the body on a thread of its own: there, waiting for a future that is ready
/// costs nothing, and tokio's budget for tasks does not apply.
fn with_form<F: Form, T: Send>(directory: &Path, body: Box<Body<'_, T>>) -> Result<T, BenchError> {
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
                    places: HashMap::new(),
                }))
            });
            let panicked = |_| BenchError::at("run")("the thread panicked");
            thread.join().map_err(panicked)?
        })
    })
}

struct Commonware<F: Form> {
    /// Taken while a batch is applied; gone after a failure.
    db: Option<F::Db>,
    /// Where the last operations of the keys to prove are.
    places: HashMap<Key, Location<Family>>,
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
            writes = writes.write(Digest(write.key), Some(F::stored(&write.value)));
        }
        let merkleized = writes.merkleize(&db, None, &mut Proportional).await?;
        std::hint::black_box(merkleized.root());
        db.apply_batch(merkleized).await?.commit().await
    }
}

impl<F: Form> Peer for Commonware<F> {
    fn submit(&mut self, batch: &[Write]) -> Result<Pending, BenchError> {
        let db = self.db.take().ok_or_else(Self::gone)?;
        let db = block_on(Self::apply(db, batch)).map_err(BenchError::at("commit"))?;
        self.db = Some(db);
        Ok(durable_already())
    }

    fn get(&mut self, key: &Key) -> Result<Option<Value>, BenchError> {
        let key = Digest(*key);
        let found = block_on(self.db()?.get(&key)).map_err(BenchError::at("get"))?;
        Ok(found.and_then(F::value))
    }

    fn proof_kinds(&self) -> &'static [&'static str] {
        &["operation in the log"]
    }

    fn proves_absence(&self) -> bool {
        F::PROVES_ABSENCE
    }

    /// An unordered form has no public call from a key to its operation's place: it is looked for in the
    /// live part of the log.
    fn prepare_proofs(&mut self, keys: &[Key]) -> Result<(), BenchError> {
        if F::PROVES_ABSENCE {
            return Ok(());
        }
        let mut places = HashMap::new();
        let wanted: std::collections::HashSet<&Key> = keys.iter().collect();
        let db = self.db()?;
        let mut from = db.inactivity_floor_loc();
        while from < db.size() {
            let (_, operations) =
                block_on(db.proof(from, SCAN_OPERATIONS)).map_err(BenchError::at("prove"))?;
            for operation in &operations {
                let key = F::updated_key(operation);
                if let Some(key) = key.filter(|key| wanted.contains(key)) {
                    places.insert(key, from);
                }
                from += 1;
            }
        }
        self.places = places;
        Ok(())
    }

    fn prove(&mut self, _: &'static str, key: &Key) -> Result<Box<dyn Proof>, BenchError> {
        let db = self.db()?;
        let place = match self.places.get(key) {
            Some(place) => Some(*place),
            None => block_on(F::place(db, &Digest(*key)))?,
        };
        let place = place.ok_or_else(|| BenchError::at("prove")("no operation has the key"))?;
        let (proof, operations) =
            block_on(db.proof(place, NonZeroU64::MIN)).map_err(BenchError::at("prove"))?;
        let operation = operations.into_iter().next();
        let operation = operation
            .ok_or_else(|| BenchError::at("prove")("the proof came without its operation"))?;
        Ok(Box::new(Logged::<F> {
            proof,
            place,
            operation,
            root: db.root(),
        }))
    }

    /// The whole of it is synced: `commit` leaves the Merkle nodes to be computed again at opening.
    fn close(self: Box<Self>) -> Result<(), BenchError> {
        let db = self.db.ok_or_else(Self::gone)?;
        block_on(db.sync()).map_err(BenchError::at("sync"))?;
        Ok(())
    }
}

struct Logged<F: Form> {
    proof: merkle::Proof<Family, Digest>,
    place: Location<Family>,
    operation: F::Operation,
    root: Digest,
}

impl<F: Form> Logged<F> {
    fn holds(&self, operation: &F::Operation) -> bool {
        let operations = std::slice::from_ref(operation);
        verify_proof::<Sha256, _, _>(&self.proof, self.place, operations, &self.root)
    }
}

impl<F: Form> Proof for Logged<F> {
    fn encoded_bytes(&self) -> usize {
        let bytes = self.proof.encode_size() + self.operation.encode_size();
        bytes.saturating_sub(size_of::<Key>())
    }

    fn shows(&self, key: &Key, value: Option<&Value>) -> bool {
        match value {
            Some(value) => {
                F::updated_key(&self.operation) == Some(*key)
                    && self.holds(&F::with_value(&self.operation, value))
            }
            None => F::spans(&self.operation, key) && self.holds(&self.operation),
        }
    }
}
