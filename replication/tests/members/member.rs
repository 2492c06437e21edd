//! Members of a tree in temporary directories.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use trunkline::core::frame::SecretKey;
use trunkline::core::params::TreeParams;
use trunkline::{Config, Durable, Engine, Replica};
use trunkline_replication::carrier::Carrier;
use trunkline_replication::{Following, Options, Primary, StartError};
use trunkline_testkit::patience::HANGS_AFTER;

pub(crate) const NAMES: [&str; 3] = ["a", "b", "c"];

/// A directory that may be a primary's or a replica's.
pub(crate) struct Member {
    directory: TempDir,
    pub(crate) options: Options,
    pub(crate) params: TreeParams,
}

fn key(name: &str) -> SecretKey {
    SecretKey::generate(*blake3::hash(name.as_bytes()).as_bytes())
}

impl Member {
    /// Returns three members of a new tree.
    pub(crate) fn three() -> [Self; 3] {
        let params = TreeParams {
            nonce: rand::random(),
            ..TreeParams::default()
        };
        NAMES.map(|name| Self::new(name, params))
    }

    fn new(name: &str, params: TreeParams) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let memory = directory.path().join("memory");
        let options = Options {
            keys: NAMES.map(|name| key(name).public()).to_vec(),
            beat: Duration::from_millis(200),
            report: Duration::from_millis(20),
            ..Options::new(name, &NAMES, key(name), memory)
        };
        Self {
            directory,
            options,
            params,
        }
    }

    pub(crate) fn config(&self) -> Config {
        Config::in_directory(self.directory.path().join("tree"))
    }

    pub(crate) fn surplus_file(&self) -> std::path::PathBuf {
        self.directory.path().join("surplus")
    }

    pub(crate) async fn open_engine(&self) -> Engine {
        let builder = Engine::builder(self.config()).params(&self.params);
        builder.open().await.unwrap()
    }

    pub(crate) async fn open_replica(&self) -> Replica {
        let builder = Engine::builder(self.config()).params(&self.params);
        let keys = self.options.keys.clone();
        builder.open_replica(keys).await.unwrap()
    }

    pub(crate) async fn try_lead<C: Carrier>(
        &self,
        carrier: &Arc<C>,
    ) -> Result<Primary, StartError> {
        let engine = self.open_engine().await;
        let started = Primary::start(engine.clone(), carrier.clone(), self.options.clone()).await;
        if started.is_err() {
            engine.shutdown().await.unwrap();
        }
        started
    }

    pub(crate) async fn lead<C: Carrier>(&self, carrier: &Arc<C>) -> Primary {
        self.try_lead(carrier).await.unwrap()
    }

    pub(crate) async fn follow<C: Carrier>(&self, carrier: &Arc<C>) -> Following {
        let replica = self.open_replica().await;
        let following = Following::start(replica, carrier.clone(), self.options.clone(), None);
        following.await.unwrap()
    }

    pub(crate) async fn promote<C: Carrier>(
        &self,
        following: Following,
        carrier: &Arc<C>,
    ) -> Primary {
        let promoted = following.promote(carrier.clone(), self.options.clone());
        promoted.await.unwrap()
    }
}

/// Commits one version of considerable size.
pub(crate) async fn write(primary: &Primary, key: &str) -> Durable {
    let receipt = primary.engine().put(key, vec![7; 3000]).await.unwrap();
    receipt.durable().await.unwrap()
}

/// Closes a replica, failed or not.
pub(crate) async fn close(following: Following) {
    drop(following.stop().await.shutdown().await);
}

/// Waits until a replica has a version.
pub(crate) async fn has(following: &Following, version: u64) {
    let waited = tokio::time::timeout(HANGS_AFTER, following.replica().wait_for(version)).await;
    let status = following.status();
    waited
        .unwrap_or_else(|_| panic!("not there: {status:?}"))
        .unwrap();
}

pub(crate) fn assert_same(primary: &Primary, following: &Following) {
    let (here, there) = (primary.engine().snapshot(), following.replica().snapshot());
    assert_eq!(here.record(), there.record());
    assert_eq!(here.root(), there.root());
}

impl Member {
    /// Follows another stream than the one that this member knew.
    pub(crate) async fn follow_anew<C: Carrier>(&self, carrier: &Arc<C>) -> Following {
        let surplus = self.surplus_file();
        let rejoined = trunkline_replication::rejoin(
            self.config(),
            carrier.clone(),
            self.options.clone(),
            surplus,
        );
        drop(rejoined.await);
        self.follow(carrier).await
    }
}
