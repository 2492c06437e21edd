//! Firewood: a Merkle trie of radix 16 in a file of its own.
//!
//! Node cache of 1 GiB, 128 revisions in memory, defaults for the rest. **It never syncs by itself**: a thread of its
//! own writes a revision after `commit` returned, with the header last. To make a batch durable here, the header is
//! read until it contains the new root, and then the file is `fdatasync`ed. Before that, nothing orders the header
//! after the nodes on the device: the authors promise less.

use std::fs::File;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use firewood::api::{Db as _, DbView, FrozenProof, HashKey, Proposal as _};
use firewood::db::{BatchOp, Db, DbConfig};
use firewood::manager::RevisionManagerConfig;
use firewood_storage::{Committed, FileBacked, NodeHashAlgorithm, NodeStore};

use super::{Peer, Pending, Proof, durable_already};
use crate::error::BenchError;
use crate::workload::{Key, Value, Write};

const CACHE_BYTES: NonZeroUsize = NonZeroUsize::new(1 << 30).unwrap();
const REVISIONS: usize = 128;
const FILE: &str = "firewood.db";
const HEADER_BYTES: usize = 2048;
const POLL_INTERVAL: Duration = Duration::from_micros(200);
const POLL_TIME_MAX: Duration = Duration::from_secs(60);

type Revision = Arc<NodeStore<Committed, FileBacked>>;

pub(super) struct Firewood {
    db: Db,
    file: File,
    /// The newest revision, between commits.
    revision: Option<(Revision, HashKey)>,
}

impl Firewood {
    pub(super) fn open(directory: &Path) -> Result<Self, BenchError> {
        let manager = RevisionManagerConfig::builder()
            .node_cache_memory_limit(CACHE_BYTES)
            .max_revisions(REVISIONS)
            .build();
        let config = DbConfig::builder()
            .node_hash_algorithm(NodeHashAlgorithm::MerkleDB)
            .manager(manager)
            .build();
        let db = Db::new(directory, config).map_err(BenchError::at("open"))?;
        let file = File::open(directory.join(FILE)).map_err(BenchError::at("open"))?;
        Ok(Self {
            db,
            file,
            revision: None,
        })
    }

    fn root(&self) -> Result<HashKey, BenchError> {
        let root = self.db.root_hash();
        root.ok_or_else(|| BenchError::at("read the root")("there is none"))
    }

    fn newest(&mut self) -> Result<&(Revision, HashKey), BenchError> {
        let newest = match self.revision.take() {
            Some(newest) => newest,
            None => {
                let root = self.root()?;
                let revision = self.db.revision(root.clone());
                (revision.map_err(BenchError::at("read"))?, root)
            }
        };
        Ok(self.revision.insert(newest))
    }

    /// Waits until the header contains a root, and syncs.
    fn make_durable(&self, root: &HashKey) -> Result<(), BenchError> {
        let root: &[u8] = root.as_ref();
        let give_up_at = Instant::now() + POLL_TIME_MAX;
        let mut header = [0; HEADER_BYTES];
        loop {
            let read = self.file.read_at(&mut header, 0);
            let bytes = read.map_err(BenchError::at("read the header"))?;
            let mut places = header[..bytes].windows(root.len());
            if places.any(|place| place == root) {
                break;
            }
            if Instant::now() > give_up_at {
                return Err(BenchError::at("wait for the header")("no new root in it"));
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        self.file.sync_data().map_err(BenchError::at("sync"))
    }
}

impl Peer for Firewood {
    fn submit(&mut self, batch: &[Write]) -> Result<Pending, BenchError> {
        self.revision = None;
        let puts: Vec<BatchOp<Key, Value>> = batch
            .iter()
            .map(|write| BatchOp::Put {
                key: write.key,
                value: write.value,
            })
            .collect();
        let proposal = self.db.propose(puts).map_err(BenchError::at("propose"))?;
        proposal.commit().map_err(BenchError::at("commit"))?;
        self.make_durable(&self.root()?)?;
        Ok(durable_already())
    }

    fn get(&mut self, key: &Key) -> Result<Option<Value>, BenchError> {
        let (revision, _) = self.newest()?;
        let found = revision.val(key).map_err(BenchError::at("get"))?;
        let value = found.map(|value| Value::try_from(&*value));
        value.transpose().map_err(BenchError::at("get"))
    }

    fn proof_kinds(&self) -> &'static [&'static str] {
        &["path"]
    }

    fn proves_absence(&self) -> bool {
        true
    }

    fn prove(&mut self, _: &'static str, key: &Key) -> Result<Box<dyn Proof>, BenchError> {
        let (revision, root) = self.newest()?;
        let proof = revision.single_key_proof(key);
        Ok(Box::new(PathFromRoot {
            proof: proof.map_err(BenchError::at("prove"))?,
            root: root.clone(),
        }))
    }

    fn close(mut self: Box<Self>) -> Result<(), BenchError> {
        self.revision = None;
        self.db.close().map_err(BenchError::at("close"))?;
        self.file.sync_data().map_err(BenchError::at("sync"))
    }
}

struct PathFromRoot {
    proof: FrozenProof,
    root: HashKey,
}

impl Proof for PathFromRoot {
    /// Counts the bytes of nodes as its own form for ranges writes them: nibbles of the key, a byte each; lengths;
    /// value; a bitmap of children and their hashes.
    fn encoded_bytes(&self) -> usize {
        const LENGTHS_AND_TAGS: usize = 4;
        const BITMAP: usize = 2;
        let nodes = self.proof.iter().map(|node| {
            let value = match &node.value_digest {
                Some(_) => size_of::<Value>() + 1,
                None => 0,
            };
            let children = node.child_hashes.iter_present().count();
            node.key.len() + LENGTHS_AND_TAGS + value + BITMAP + size_of::<[u8; 32]>() * children
        });
        nodes.sum()
    }

    fn shows(&self, key: &Key, value: Option<&Value>) -> bool {
        self.proof.verify(key, value, &self.root).is_ok()
    }
}
