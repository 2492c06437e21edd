//! trunkline with its default configuration, or with one named deviation from it.

use std::path::Path;

use trunkline::config::KzgMode;
use trunkline::core::proof::{self, Claim, Expected};
use trunkline::core::record::Root;
use trunkline::{Batch, Config, Engine, Snapshot, TopKind};

use super::{EngineKind, Peer, Pending, Proof};
use crate::error::BenchError;
use crate::job::Job;
use crate::workload::{Key, Value, Write};

const HASH_TOP: &str = "hash top";
const KZG_TOP: &str = "KZG top";

pub(super) struct Trunkline {
    engine: Engine,
    /// The snapshot, while keys are proven.
    snapshot: Option<(Snapshot, Root)>,
}

impl Trunkline {
    pub(super) fn open(job: &Job, directory: &Path) -> Result<Self, BenchError> {
        let mut layers = Config::layers();
        for setting in &job.settings {
            layers = layers.set(setting).map_err(BenchError::at("configure"))?;
        }
        let mut config = layers.build().map_err(BenchError::at("configure"))?;
        config.engine.directory = directory.to_owned();
        match job.line.engine {
            EngineKind::TrunklineCoalesce | EngineKind::TrunklineCoalesceOne => {
                config.kzg.mode = KzgMode::Coalesce
            }
            EngineKind::TrunklineSingle => config.group.in_flight_max = 1,
            _ => {}
        }
        let engine = Engine::open_blocking(config).map_err(BenchError::at("open"))?;
        Ok(Self {
            engine,
            snapshot: None,
        })
    }

    fn snapshot(&mut self) -> &(Snapshot, Root) {
        self.snapshot.get_or_insert_with(|| {
            let snapshot = self.engine.snapshot();
            let root = snapshot.root();
            (snapshot, root)
        })
    }
}

impl Peer for Trunkline {
    fn submit(&mut self, batch: &[Write]) -> Result<Pending, BenchError> {
        let mut puts = Batch::with_capacity(batch.len(), batch.len() * 64);
        for write in batch {
            puts.put(write.key, write.value);
        }
        let receipt = self
            .engine
            .submit_blocking(puts)
            .map_err(BenchError::at("submit"))?;
        Ok(Box::new(move || {
            let durable = receipt
                .durable_blocking()
                .map_err(BenchError::at("commit"))?;
            match durable.outcome.is_applied() {
                true => Ok(()),
                false => Err(BenchError::at("commit")("the batch was refused")),
            }
        }))
    }

    fn shared(&self) -> Option<Engine> {
        Some(self.engine.clone())
    }

    fn get(&mut self, key: &Key) -> Result<Option<Value>, BenchError> {
        let found = self.engine.get(key).map_err(BenchError::at("get"))?;
        let value = found.map(|value| Value::try_from(&*value));
        value.transpose().map_err(BenchError::at("get"))
    }

    fn proof_kinds(&self) -> &'static [&'static str] {
        &[HASH_TOP, KZG_TOP]
    }

    fn proves_absence(&self) -> bool {
        true
    }

    fn prepare_proofs(&mut self, _: &[Key]) -> Result<(), BenchError> {
        self.snapshot();
        Ok(())
    }

    fn prove(&mut self, kind: &'static str, key: &Key) -> Result<Box<dyn Proof>, BenchError> {
        let top = match kind {
            KZG_TOP => TopKind::Kzg,
            _ => TopKind::Hash,
        };
        let (snapshot, root) = self.snapshot();
        let proof = snapshot
            .prove([key], top)
            .map_err(BenchError::at("prove"))?;
        Ok(Box::new(Rooted { proof, root: *root }))
    }

    fn memory_by_owner(&self) -> Vec<(String, u64)> {
        let metrics = self.engine.metrics();
        let owners = [
            ("tree", metrics.tree_bytes),
            ("changes", metrics.changes_bytes),
            ("older versions", metrics.older_versions_bytes),
            ("layers", metrics.layers_bytes),
            ("overlay", metrics.overlay_bytes),
            ("value cache", metrics.value_cache_bytes),
            ("leaf store", metrics.leaf_store_bytes),
            ("forks", metrics.fork_bytes),
            ("archive", metrics.archive_buffer_bytes),
            ("kzg", metrics.kzg_tables_bytes),
            ("bookkeeping", metrics.bookkeeping_bytes),
            ("program", metrics.program_bytes),
        ];
        owners.map(|(name, bytes)| (name.to_owned(), bytes)).into()
    }

    fn close(self: Box<Self>) -> Result<(), BenchError> {
        drop(self.snapshot);
        self.engine
            .shutdown_blocking()
            .map_err(BenchError::at("shut down"))
    }
}

struct Rooted {
    proof: proof::Proof,
    root: Root,
}

impl Rooted {
    fn holds(&self, proof: &proof::Proof, key: &Key, claim: &Claim) -> bool {
        proof::verify(proof, &Expected::Root(self.root))
            .is_ok_and(|verified| verified.claim(key) == Some(claim))
    }
}

impl Proof for Rooted {
    fn encoded_bytes(&self) -> usize {
        let bytes = self.proof.encode().map_or(0, |bytes| bytes.len());
        bytes.saturating_sub(size_of::<Key>())
    }

    fn shows(&self, key: &Key, value: Option<&Value>) -> bool {
        let claim = value.map_or(Claim::Absent, |value| Claim::Present(value.to_vec()));
        let entries = &self.proof.versions[0].entries;
        let own = entries.first().map(|entry| &entry.claim);
        if own == Some(&claim) {
            return self.holds(&self.proof, key, &claim);
        }
        let mut other = self.proof.clone();
        for entry in &mut other.versions[0].entries {
            entry.claim = claim.clone();
        }
        self.holds(&other, key, &claim)
    }
}
