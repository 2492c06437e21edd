//! `qmdb::current` in two forms: `qmdb::any` with a bit for each operation that says whether it is the last one
//! of its key, under the same root. A proof shows that a value is the latest. In the ordered form an operation
//! names the next key as well, so that a proof can show that a key is absent.
//!
//! Chunks of 32 bytes of the bitmap, as in the crate's own benchmarks.

use commonware_codec::EncodeSize;
use commonware_cryptography::sha256::{Digest, Sha256};
use commonware_parallel::Rayon;
use commonware_runtime::Supervisor;
use commonware_runtime::tokio::Context;
use commonware_storage::merkle::mmb::Family;
use commonware_storage::qmdb;
use commonware_storage::qmdb::any::value::FixedEncoding;
use commonware_storage::qmdb::current::ordered::proof::constant::{ExclusionProof, KeyValueProof};
use commonware_storage::qmdb::current::proof::constant::OperationProof;
use commonware_storage::qmdb::current::{self, ordered, unordered};
use commonware_storage::translator::EightCap;

use super::{Form, Places, fixed_config};
use crate::engines::Proof;
use crate::error::BenchError;
use crate::workload::{Key, Value};

const PROOF_KIND: &str = "latest value";
/// The size of a chunk of the bitmap, bytes.
const CHUNK_BYTES: usize = 32;

type CurrentDb =
    unordered::fixed::Db<Family, Context, Digest, Digest, Sha256, EightCap, CHUNK_BYTES, Rayon>;
type CurrentOrderedDb =
    ordered::fixed::Db<Family, Context, Digest, Digest, Sha256, EightCap, CHUNK_BYTES, Rayon>;

/// The form `current::unordered::fixed`.
pub(in crate::engines) struct Current;

/// The form `current::ordered::fixed`.
pub(in crate::engines) struct CurrentOrdered;

fn config(context: &Context) -> current::FixedConfig<EightCap, Rayon> {
    let any = fixed_config(context);
    current::Config {
        merkle_config: any.merkle_config,
        journal_config: any.journal_config,
        grafted_metadata_partition: "grafted".to_owned(),
        translator: any.translator,
        init_cache: any.init_cache,
        init_buffer: any.init_buffer,
        init_concurrency: any.init_concurrency,
    }
}

impl Form for Current {
    type Db = CurrentDb;

    const PROOF_KIND: &'static str = PROOF_KIND;
    const PROVES_ABSENCE: bool = false;

    async fn open(context: Context) -> Result<CurrentDb, BenchError> {
        let config = config(&context);
        CurrentDb::init(context.child("storage"), config, None)
            .await
            .map_err(BenchError::at("open"))
    }

    async fn prove(db: &CurrentDb, _: &Places, key: &Key) -> Result<Box<dyn Proof>, BenchError> {
        let proof = db.key_value_proof(Digest(*key)).await;
        Ok(Box::new(Latest {
            proof: proof.map_err(BenchError::at("prove"))?,
            root: db.root(),
        }))
    }
}

impl Form for CurrentOrdered {
    type Db = CurrentOrderedDb;

    const PROOF_KIND: &'static str = PROOF_KIND;
    const PROVES_ABSENCE: bool = true;

    async fn open(context: Context) -> Result<CurrentOrderedDb, BenchError> {
        let config = config(&context);
        CurrentOrderedDb::init(context.child("storage"), config, None)
            .await
            .map_err(BenchError::at("open"))
    }

    async fn prove(
        db: &CurrentOrderedDb,
        _: &Places,
        key: &Key,
    ) -> Result<Box<dyn Proof>, BenchError> {
        let key = Digest(*key);
        let claim = match db.key_value_proof(key).await {
            Ok(proof) => Claim::Present(proof),
            Err(qmdb::Error::KeyNotFound) => {
                let proof = db.exclusion_proof(&key).await;
                Claim::Absent(proof.map_err(BenchError::at("prove"))?)
            }
            Err(error) => return Err(BenchError::at("prove")(error)),
        };
        Ok(Box::new(InOrder {
            claim,
            root: db.root(),
        }))
    }
}

/// The proof that a value is the latest of a key.
struct Latest {
    proof: OperationProof<Family, Digest, CHUNK_BYTES>,
    root: Digest,
}

impl Proof for Latest {
    fn encoded_bytes(&self) -> usize {
        self.proof.encode_size() + size_of::<Value>()
    }

    fn shows(&self, key: &Key, value: Option<&Value>) -> bool {
        value.is_some_and(|value| {
            let (key, value) = (Digest(*key), Digest(*value));
            CurrentDb::verify_key_value_proof(key, value, &self.proof, &self.root)
        })
    }
}

/// The proof that a value is the latest of a key, or that the key is absent.
struct InOrder {
    claim: Claim,
    root: Digest,
}

type PresenceProof = KeyValueProof<Family, Digest, Digest, CHUNK_BYTES>;

enum Claim {
    Present(PresenceProof),
    Absent(ExclusionProof<Family, Digest, FixedEncoding<Digest>, Digest, CHUNK_BYTES>),
}

impl Proof for InOrder {
    fn encoded_bytes(&self) -> usize {
        match &self.claim {
            Claim::Present(proof) => proof.encode_size() + size_of::<Value>(),
            Claim::Absent(proof) => proof.encode_size(),
        }
    }

    fn shows(&self, key: &Key, value: Option<&Value>) -> bool {
        let key = Digest(*key);
        let is_latest = |proof: &PresenceProof, value: &Value| {
            proof.verify::<Sha256, FixedEncoding<Digest>>(key, Digest(*value), &self.root)
        };
        match (&self.claim, value) {
            (Claim::Present(proof), Some(value)) => is_latest(proof, value),
            (Claim::Absent(proof), None) => proof.verify::<Sha256>(&key, &self.root),
            (Claim::Absent(ExclusionProof::KeyValue(proof, update)), Some(value)) => {
                let proof = PresenceProof {
                    proof: proof.clone(),
                    next_key: update.next_key,
                };
                is_latest(&proof, value)
            }
            (Claim::Absent(ExclusionProof::Commit(..)), Some(_)) | (Claim::Present(_), None) => {
                false
            }
        }
    }
}
