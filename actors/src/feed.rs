//! The state that followers of an engine share with it: how far the log is synced, and the cursors that hold back its
//! trimming.
//!
//! Followers read the log's files themselves (`core::store::log::LogFollower`), so a slow or stopped follower never
//! delays a commit.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use trunkline_core::hash::Digest;
use trunkline_core::store::disk::Disk;
use trunkline_core::store::feed_cursors::{self, CURSORS_MAX, CursorName, Cursors};
use trunkline_core::store::log::{Held, LogPosition};

use crate::runtime::wait::Signal;

/// The files of an engine that followers read.
#[derive(Clone)]
pub struct FeedSource {
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// The engine's directory.
    pub directory: PathBuf,
    /// The id of the tree.
    pub tree_id: Digest,
}

/// The state that followers of an engine share with it.
pub struct FeedState {
    /// The files that followers read.
    pub source: FeedSource,
    progress: Mutex<Progress>,
    cursors: Mutex<Cursors>,
    /// True while a caller writes the file of cursors. No lock is held meanwhile: trimming needs the cursors.
    is_writing: Signal<bool>,
    /// On a replica, the newest known version of its primary.
    primary: AtomicU64,
}

/// A version that is synced and published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synced {
    /// The version.
    pub position: LogPosition,
    /// The epoch in which it was written.
    pub open_epoch: u64,
}

/// The last version that followers may read, and the waiting followers.
#[derive(Debug)]
struct Progress {
    synced: Synced,
    oldest: u64,
    has_ended: bool,
    /// One waker for each waiting [`FeedWaiter`].
    waiting: BTreeMap<u64, Waker>,
    next_ticket: u64,
}

/// A follower that waits for versions. Dropping it discards its waker.
#[derive(Debug)]
pub struct FeedWaiter {
    feed: Arc<FeedState>,
    ticket: u64,
}

impl FeedWaiter {
    /// Returns how far a follower that wants `version` may read, or stores its waker until it may read it.
    pub fn poll_reach(&mut self, version: u64, context: &Context<'_>) -> Poll<Reach> {
        let mut progress = self.feed.progress.lock();
        let synced = progress.synced.position.version;
        if synced >= version {
            return Poll::Ready(Reach::Version(synced));
        }
        if progress.has_ended {
            return Poll::Ready(Reach::End);
        }
        let waker = context.waker().clone();
        let replaced = progress.waiting.insert(self.ticket, waker);
        // A waker may run its owner's code when it is dropped.
        drop(progress);
        drop(replaced);
        Poll::Pending
    }

    /// Waits until a follower may read `version`.
    pub async fn reach(&mut self, version: u64) -> Reach {
        poll_fn(|context| self.poll_reach(version, context)).await
    }
}

impl Drop for FeedWaiter {
    fn drop(&mut self) {
        let mut progress = self.feed.progress.lock();
        let waker = progress.waiting.remove(&self.ticket);
        drop(progress);
        drop(waker);
    }
}

/// The turn of a caller that changes the cursors. Dropping it lets the next one continue.
struct Turn<'a>(&'a Signal<bool>);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.update(|is_writing| *is_writing = false);
    }
}

/// The result for a follower that wants a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It may read up to this version.
    Version(u64),
    /// The engine has ended, and everything that it synced was read.
    End,
}

/// A cursor of a tree.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let engine = trunkline::Engine::open_blocking(trunkline::Config::in_directory(directory.path()))?;
/// engine.set_cursor("search-index", 0)?;
/// engine.put_blocking("alice", "10")?.durable_blocking()?;
/// let cursor = &engine.cursors()[0];
/// assert_eq!((cursor.name.as_str(), cursor.version, cursor.is_gap), ("search-index", 0, false));
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedCursor {
    /// Its name.
    pub name: String,
    /// The last version that its follower has processed.
    pub version: u64,
    /// True if the version after it was trimmed, so that the follower must start from a copy of the state.
    pub is_gap: bool,
}

/// The reason why a cursor was not set or removed. The cursor is unchanged.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let engine = trunkline::Engine::open_blocking(trunkline::Config::in_directory(directory.path()))?;
/// let error = engine.set_cursor("search-index", 7).unwrap_err();
/// assert!(matches!(error, trunkline::CursorError::Ahead { version: 7, synced: 0 }));
/// # engine.shutdown_blocking()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    /// The name cannot be that of a cursor.
    #[error("a cursor's name has 1 to 64 bytes of a-z, 0-9, '.', '-' and '_'; {0:?} is not valid")]
    Name(String),
    /// The limit on cursors is reached.
    #[error("there are {CURSORS_MAX} cursors already; remove one that is no longer used")]
    TooMany,
    /// The version is not in the feed yet.
    #[error(
        "version {version} is not synced yet; the newest synced version is {synced}; set the cursor to a version that was read"
    )]
    Ahead {
        /// The requested version.
        version: u64,
        /// The newest version in the feed.
        synced: u64,
    },
    /// The cursor is further ahead already, and the versions before it may be trimmed.
    #[error(
        "the cursor is at version {now} and cannot go back to {version}; remove it, and create it again"
    )]
    Behind {
        /// The requested version.
        version: u64,
        /// The version of the cursor.
        now: u64,
    },
    /// The file of cursors could not be written.
    #[error("the file of cursors in {} could not be written; check the disk", path.display())]
    File {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl FeedState {
    /// Creates the state of an engine whose log is synced up to a version and begins with `oldest`.
    pub fn new(source: FeedSource, cursors: Cursors, synced: Synced, oldest: u64) -> Self {
        Self {
            source,
            cursors: Mutex::new(cursors),
            is_writing: Signal::default(),
            primary: AtomicU64::new(0),
            progress: Mutex::new(Progress {
                synced,
                oldest,
                has_ended: false,
                waiting: BTreeMap::new(),
                next_ticket: 0,
            }),
        }
    }

    /// Lets followers read up to a version.
    pub fn advance(&self, synced: Synced) {
        self.wake(|progress| {
            let advances = synced.position.version > progress.synced.position.version;
            if advances {
                progress.synced = synced;
            }
            advances
        });
    }

    /// Tells followers that there will be no more versions.
    pub fn end(&self) {
        self.wake(|progress| !std::mem::replace(&mut progress.has_ended, true));
    }

    fn wake(&self, change: impl FnOnce(&mut Progress) -> bool) {
        let mut progress = self.progress.lock();
        let waiting = match change(&mut progress) {
            true => std::mem::take(&mut progress.waiting),
            false => BTreeMap::new(),
        };
        drop(progress);
        waiting.into_values().for_each(Waker::wake);
    }

    /// Notes the oldest version that is left after trimming.
    pub fn trimmed(&self, oldest: u64) {
        self.progress.lock().oldest = oldest;
    }

    /// Returns the newest version that followers may read.
    pub fn synced(&self) -> Synced {
        self.progress.lock().synced
    }

    /// Returns the number of the newest version that followers may read.
    pub fn synced_version(&self) -> u64 {
        self.synced().position.version
    }

    /// Notes that the primary of this replica has a version.
    pub fn observe_primary(&self, version: u64) {
        self.primary.fetch_max(version, Ordering::Relaxed);
    }

    /// Returns the number of versions by which a replica at this version is behind its primary, as far as it knows.
    pub fn lag_versions(&self, version: u64) -> u64 {
        let primary = self.primary.load(Ordering::Relaxed);
        primary.saturating_sub(version)
    }

    /// Returns a new waiter.
    pub fn waiter(self: &Arc<Self>) -> FeedWaiter {
        let mut progress = self.progress.lock();
        let ticket = progress.next_ticket;
        progress.next_ticket += 1;
        drop(progress);
        FeedWaiter {
            feed: self.clone(),
            ticket,
        }
    }

    /// Returns all cursors.
    pub fn cursors(&self) -> Vec<FeedCursor> {
        let oldest = self.progress.lock().oldest;
        let cursors = self.cursors.lock();
        let cursors = cursors.iter().map(|(name, version)| FeedCursor {
            name: name.as_str().to_owned(),
            version: *version,
            is_gap: version.saturating_add(1) < oldest,
        });
        cursors.collect()
    }

    /// Sets a cursor durably: versions up to `version` may be trimmed.
    ///
    /// # Errors
    ///
    /// Fails if the name cannot be a cursor's, if there are too many cursors, if the version is not synced yet or is
    /// before that of the cursor, or if the file cannot be written.
    pub fn set_cursor(&self, name: &str, version: u64) -> Result<(), CursorError> {
        let name = CursorName::new(name).ok_or_else(|| CursorError::Name(name.to_owned()))?;
        let synced = self.synced_version();
        if version > synced {
            return Err(CursorError::Ahead { version, synced });
        }
        let _turn = self.take_turn();
        let mut cursors = self.cursors.lock().clone();
        match cursors.get(&name) {
            Some(&now) if now == version => return Ok(()),
            Some(&now) if now > version => return Err(CursorError::Behind { version, now }),
            None if cursors.len() >= CURSORS_MAX => return Err(CursorError::TooMany),
            _ => {}
        }
        cursors.insert(name, version);
        self.replace(cursors)
    }

    /// Removes a cursor durably. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// Fails if the name cannot be a cursor's, or if the file cannot be written.
    pub fn remove_cursor(&self, name: &str) -> Result<bool, CursorError> {
        let name = CursorName::new(name).ok_or_else(|| CursorError::Name(name.to_owned()))?;
        let _turn = self.take_turn();
        let mut cursors = self.cursors.lock().clone();
        match cursors.remove(&name) {
            Some(_) => self.replace(cursors).map(|()| true),
            None => Ok(false),
        }
    }

    /// Waits until no other caller changes the cursors.
    fn take_turn(&self) -> Turn<'_> {
        let take = |is_writing: &mut bool| std::mem::replace(is_writing, true);
        while self.is_writing.update(take) {
            self.is_writing
                .wait_for(|is_writing| (!is_writing).then_some(()));
        }
        Turn(&self.is_writing)
    }

    /// Replaces the cursors, in the file first.
    fn replace(&self, cursors: Cursors) -> Result<(), CursorError> {
        let FeedSource {
            disk,
            directory,
            tree_id,
        } = &self.source;
        let written = feed_cursors::write(&**disk, directory, tree_id, &cursors);
        written.map_err(|source| CursorError::File {
            path: directory.clone(),
            source,
        })?;
        *self.cursors.lock() = cursors;
        Ok(())
    }

    /// Returns the versions that trimming must leave for the cursors of a log that begins with `oldest`: all after the
    /// oldest cursor that is not a gap.
    pub fn held(&self, oldest: u64, bytes_max: u64) -> Held {
        let cursors = self.cursors.lock();
        let behind = cursors
            .values()
            .filter(|version| version.saturating_add(1) >= oldest);
        Held {
            after: behind.min().copied().unwrap_or(u64::MAX),
            bytes_max,
        }
    }
}

impl std::fmt::Debug for FeedState {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("FeedState")
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}
