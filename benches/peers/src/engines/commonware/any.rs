//! `qmdb::any` in three forms. A proof shows that an operation is in the log, not that it is the last one of
//! its key.

use std::collections::HashSet;
use std::num::NonZeroU64;

use commonware_codec::{Encode, EncodeSize};
use commonware_cryptography::sha256::{Digest, Sha256};
use commonware_parallel::Rayon;
use commonware_runtime::Supervisor;
use commonware_runtime::tokio::Context;
use commonware_storage::journal::contiguous::variable;
use commonware_storage::merkle::mmb::Family;
use commonware_storage::merkle::{self, Location};
use commonware_storage::qmdb::any::traits::Provable;
use commonware_storage::qmdb::any::{ValueEncoding, ordered, unordered};
use commonware_storage::qmdb::verify_proof;
use commonware_storage::translator::EightCap;

use super::{BUFFER_BYTES, Form, ITEMS_PER_BLOB, Places, Stored, config, fixed_config, page_cache};
use crate::engines::Proof;
use crate::error::BenchError;
use crate::workload::{Key, Value};

const PROOF_KIND: &str = "operation in the log";
/// The number of operations of the log that are searched at a time for the keys to prove.
const SCAN_OPERATIONS: NonZeroU64 = NonZeroU64::new(20_000).unwrap();

type FixedDb = unordered::fixed::Db<Family, Context, Digest, Digest, Sha256, EightCap, Rayon>;
type VariableDb =
    unordered::variable::Db<Family, Context, Digest, Vec<u8>, Sha256, EightCap, Rayon>;
type OrderedDb = ordered::fixed::Db<Family, Context, Digest, Digest, Sha256, EightCap, Rayon>;

/// The form `any::unordered::fixed`.
pub(in crate::engines) struct Fixed;

/// The form `any::unordered::variable`.
pub(in crate::engines) struct Variable;

/// The form `any::ordered::fixed`.
pub(in crate::engines) struct Ordered;

impl Form for Fixed {
    type Db = FixedDb;

    const PROOF_KIND: &'static str = PROOF_KIND;
    const PROVES_ABSENCE: bool = false;

    async fn open(context: Context) -> Result<FixedDb, BenchError> {
        let config = fixed_config(&context);
        FixedDb::init(context.child("storage"), config, None)
            .await
            .map_err(BenchError::at("open"))
    }

    async fn places(db: &FixedDb, keys: &[Key]) -> Result<Places, BenchError> {
        scan(db, keys).await
    }

    async fn prove(db: &FixedDb, places: &Places, key: &Key) -> Result<Box<dyn Proof>, BenchError> {
        prove(db, places.get(key).copied()).await
    }
}

impl Form for Variable {
    type Db = VariableDb;

    const PROOF_KIND: &'static str = PROOF_KIND;
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
        let config = config(&context, cache, journal);
        VariableDb::init(context.child("storage"), config, None)
            .await
            .map_err(BenchError::at("open"))
    }

    async fn places(db: &VariableDb, keys: &[Key]) -> Result<Places, BenchError> {
        scan(db, keys).await
    }

    async fn prove(
        db: &VariableDb,
        places: &Places,
        key: &Key,
    ) -> Result<Box<dyn Proof>, BenchError> {
        prove(db, places.get(key).copied()).await
    }
}

impl Form for Ordered {
    type Db = OrderedDb;

    const PROOF_KIND: &'static str = PROOF_KIND;
    const PROVES_ABSENCE: bool = true;

    async fn open(context: Context) -> Result<OrderedDb, BenchError> {
        let config = fixed_config(&context);
        OrderedDb::init(context.child("storage"), config, None)
            .await
            .map_err(BenchError::at("open"))
    }

    async fn prove(db: &OrderedDb, _: &Places, key: &Key) -> Result<Box<dyn Proof>, BenchError> {
        let span = db.get_span(&Digest(*key)).await;
        let span = span.map_err(BenchError::at("prove"))?;
        prove(db, span.map(|(place, _)| place)).await
    }
}

/// Searches for keys in the live part of the log: an unordered form has no public call from a key to the location of
/// its operation.
async fn scan<D: Provable<Family, Operation: Logged>>(
    db: &D,
    keys: &[Key],
) -> Result<Places, BenchError> {
    let mut places = Places::new();
    let wanted: HashSet<&Key> = keys.iter().collect();
    let mut from = db.inactivity_floor_loc();
    while from < db.size() {
        let proof = db.proof(from, SCAN_OPERATIONS).await;
        let (_, operations) = proof.map_err(BenchError::at("prove"))?;
        for operation in &operations {
            let key = operation.updated_key();
            if let Some(key) = key.filter(|key| wanted.contains(key)) {
                places.insert(key, from);
            }
            from += 1;
        }
    }
    Ok(places)
}

async fn prove<D: Provable<Family, Digest = Digest, Operation: Logged>>(
    db: &D,
    place: Option<Location<Family>>,
) -> Result<Box<dyn Proof>, BenchError> {
    let place = place.ok_or_else(|| BenchError::at("prove")("no operation has the key"))?;
    let proof = db.proof(place, NonZeroU64::MIN).await;
    let (proof, operations) = proof.map_err(BenchError::at("prove"))?;
    let operation = operations.into_iter().next();
    let operation =
        operation.ok_or_else(|| BenchError::at("prove")("the proof came without its operation"))?;
    Ok(Box::new(InLog {
        proof,
        place,
        operation,
        root: db.root(),
    }))
}

/// An operation of the log, as proofs need it.
trait Logged: Encode + Clone + Send + 'static {
    fn updated_key(&self) -> Option<Key>;
    fn with_value(&self, value: &Value) -> Self;

    /// Returns whether the operation says that a key is absent.
    fn spans(&self, _: &Key) -> bool {
        false
    }
}

impl<V: ValueEncoding<Value: Stored>> Logged for unordered::Operation<Family, Digest, V>
where
    Self: Encode,
{
    fn updated_key(&self) -> Option<Key> {
        match self {
            Self::Update(update) => Some(update.0.0),
            _ => None,
        }
    }

    fn with_value(&self, value: &Value) -> Self {
        let mut other = self.clone();
        if let Self::Update(update) = &mut other {
            update.1 = Stored::of(value);
        }
        other
    }
}

impl Logged for ordered::fixed::Operation<Family, Digest, Digest> {
    fn updated_key(&self) -> Option<Key> {
        match self {
            ordered::Operation::Update(update) => Some(update.key.0),
            _ => None,
        }
    }

    fn with_value(&self, value: &Value) -> Self {
        let mut other = self.clone();
        if let ordered::Operation::Update(update) = &mut other {
            update.value = Digest(*value);
        }
        other
    }

    fn spans(&self, key: &Key) -> bool {
        let ordered::Operation::Update(update) = self else {
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

struct InLog<O> {
    proof: merkle::Proof<Family, Digest>,
    place: Location<Family>,
    operation: O,
    root: Digest,
}

impl<O: Logged> InLog<O> {
    fn holds(&self, operation: &O) -> bool {
        let operations = std::slice::from_ref(operation);
        verify_proof::<Sha256, _, _>(&self.proof, self.place, operations, &self.root)
    }
}

impl<O: Logged> Proof for InLog<O> {
    fn encoded_bytes(&self) -> usize {
        let bytes = self.proof.encode_size() + self.operation.encode_size();
        bytes.saturating_sub(size_of::<Key>())
    }

    fn shows(&self, key: &Key, value: Option<&Value>) -> bool {
        match value {
            Some(value) => {
                self.operation.updated_key() == Some(*key)
                    && self.holds(&self.operation.with_value(value))
            }
            None => self.operation.spans(key) && self.holds(&self.operation),
        }
    }
}
