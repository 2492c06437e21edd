//! Reads that do not block the caller's thread: they run on the engine's threads for reads.
//!
//! A fixed number of them runs at a time; others wait for their turn. Dropping a future cancels its read, unless it has
//! begun. They work from any runtime or none.

use bytes::Bytes;
use trunkline_actors::state::order::{KeyRange, RangePage};
use trunkline_actors::state::read::ReadError;
use trunkline_core::proof::Proof;

use crate::engine::Engine;
use crate::snapshot::Snapshot;
use crate::snapshot::prove::{ProveOptions, SnapshotProveError};

impl Snapshot {
    /// Works like [`Self::get`], on a thread of the engine.
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub async fn get_async(&self, key: impl Into<Bytes>) -> Result<Option<Bytes>, ReadError> {
        let (snapshot, key) = (self.clone(), key.into());
        let read = move || snapshot.get(&key);
        self.state.pools.read_async(read).await
    }

    /// Works like [`Self::multi_get`], on threads of the engine.
    ///
    /// # Errors
    ///
    /// As [`Self::multi_get`].
    pub async fn multi_get_async<K: AsRef<[u8]> + Send + 'static>(
        &self,
        keys: Vec<K>,
    ) -> Result<Vec<Option<Bytes>>, ReadError> {
        let snapshot = self.clone();
        let read = move || snapshot.multi_get(&keys);
        self.state.pools.read_async(read).await
    }

    /// Works like [`Self::prove_with`], on a thread of the engine.
    ///
    /// # Errors
    ///
    /// As [`Self::prove`].
    pub async fn prove_async<K: AsRef<[u8]> + Send + 'static>(
        &self,
        keys: Vec<K>,
        options: ProveOptions,
    ) -> Result<Proof, SnapshotProveError> {
        let snapshot = self.clone();
        let prove = move || snapshot.prove_with(keys, &options);
        self.state.pools.read_async(prove).await
    }
}

impl Engine {
    /// Works like [`Self::get`], on a thread of the engine. Use it in async code for values that may not be in memory.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let config = trunkline::Config::in_directory(directory.path());
    /// # pollster::block_on(async {
    /// let engine = trunkline::Engine::open(config).await?;
    /// engine.put("alice", "10").await?;
    /// assert_eq!(engine.get_async("alice").await?.as_deref(), Some(&b"10"[..]));
    /// # engine.shutdown().await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub async fn get_async(&self, key: impl Into<Bytes>) -> Result<Option<Bytes>, ReadError> {
        let (engine, key) = (self.clone(), key.into());
        let read = move || engine.get(&key);
        self.state().pools.read_async(read).await
    }

    /// Works like [`Self::multi_get`], on threads of the engine.
    ///
    /// # Errors
    ///
    /// As [`Self::multi_get`].
    pub async fn multi_get_async<K: AsRef<[u8]> + Send + 'static>(
        &self,
        keys: Vec<K>,
    ) -> Result<Vec<Option<Bytes>>, ReadError> {
        let engine = self.clone();
        let read = move || engine.multi_get(&keys);
        self.state().pools.read_async(read).await
    }

    /// Returns the first page of a range: keys in byte order, each with its latest accepted value, as [`Self::get`]
    /// would return it when the page is read. The keys of a page may be of different versions; for that, use
    /// [`Snapshot::range`]. It takes time in proportion to the writes that are accepted and not applied yet. Needs
    /// `store.key_order`.
    ///
    /// # Errors
    ///
    /// Fails with [`ReadError::NoKeyOrder`] without the index, and otherwise as [`Self::get`].
    pub fn range(&self, range: &KeyRange) -> Result<RangePage, ReadError> {
        let health = &self.running().context.health;
        self.state().range_latest(health, range)
    }

    /// Returns the first page of the keys that begin with these bytes, as [`Self::range`] does.
    ///
    /// # Errors
    ///
    /// As [`Self::range`].
    pub fn prefix(&self, prefix: &[u8]) -> Result<RangePage, ReadError> {
        self.range(&KeyRange::prefix(prefix))
    }

    /// Works like [`Self::range`], on a thread of the engine. [`Snapshot::range_stream`] streams a range of one
    /// version.
    ///
    /// # Errors
    ///
    /// As [`Self::range`].
    pub async fn range_async(&self, range: KeyRange) -> Result<RangePage, ReadError> {
        let engine = self.clone();
        let read = move || engine.range(&range);
        self.state().pools.read_async(read).await
    }
}
