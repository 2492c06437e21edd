//! Continuous archiving: a task follows a running engine and writes segments, so that the archive is at most a few
//! seconds behind. A cursor of the engine keeps its log from being trimmed before it is archived.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until};
use trunkline::core::frame::SecretKey;
use trunkline::core::store::archive::BaseName;
use trunkline::core::store::log::{LogEntry, LogPosition};
use trunkline::{CursorError, Engine, Feed, FeedCursor, FeedError};

use crate::archive::Archive;
use crate::backup::{BackupError, BasePolicy, BaseReason};
use crate::error::WriteError;
use crate::metrics::ArchiverMetrics;
use crate::segments::SegmentAppender;
use crate::source::Source;

/// Shortest and longest time between two attempts at a store that does not answer.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LAST: Duration = Duration::from_secs(60);

/// The options of an archiver.
///
/// ```
/// let options = trunkline_archive::ArchiverOptions::default();
/// assert_eq!((options.cursor.as_str(), options.age_max.as_secs()), ("archive", 10));
/// ```
#[derive(Clone, Debug)]
pub struct ArchiverOptions {
    /// Name of the cursor that holds the log back. Each archive of an engine needs its own.
    pub cursor: String,
    /// Age at which a version is written even if its segment is not full.
    pub age_max: Duration,
    /// The rule by which the archiver makes bases.
    pub base: BasePolicy,
    /// The key that signs frames.
    pub key: Option<SecretKey>,
}

impl Default for ArchiverOptions {
    fn default() -> Self {
        Self {
            cursor: "archive".to_owned(),
            age_max: Duration::from_secs(10),
            base: BasePolicy::IfNeeded,
            key: None,
        }
    }
}

/// The progress of an archiver.
///
/// ```
/// let status = trunkline_archive::ArchiverStatus::default();
/// assert!(status.archived.is_none());
/// ```
#[derive(Clone, Debug, Default)]
pub struct ArchiverStatus {
    /// The last version that is in the archive.
    pub archived: Option<LogPosition>,
    /// The last base that the archiver made, with the reason.
    pub base: Option<(BaseName, BaseReason)>,
    /// The error of the current attempt, which will be repeated. `None` if no attempt is failing.
    pub failing: Option<Arc<BackupError>>,
    /// The total number of failed attempts.
    pub failures: u64,
}

/// The reason why an archiver ended before it was stopped. The cursor stays, and continues to hold the log back.
///
/// ```
/// use trunkline_archive::{ArchiverError, BackupError};
/// let error = ArchiverError::from(BackupError::NotSynced);
/// assert!(matches!(error, ArchiverError::Backup(_)));
/// ```
#[derive(Debug, thiserror::Error)]
pub enum ArchiverError {
    /// The archive cannot be continued.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The cursor cannot be set.
    #[error("the cursor of the archive cannot be set")]
    Cursor(#[from] CursorError),
    /// The archiver was stopped while its attempts failed.
    #[error(
        "the archiver was stopped while its attempts failed; start it again, so that it writes what is missing"
    )]
    Stopped {
        /// The last failure.
        source: Arc<BackupError>,
    },
}

impl From<WriteError> for ArchiverError {
    fn from(error: WriteError) -> Self {
        Self::Backup(error.into())
    }
}

/// A task that archives a running engine. Needs a tokio runtime with time enabled.
///
/// Temporary errors, such as a store that does not answer, are retried for ever: see [`ArchiverStatus::failing`]. The
/// log keeps growing meanwhile, up to `log.held_bytes_max`. If it was trimmed beyond the cursor, the archiver makes a
/// new base.
///
/// Stop it before the engine is shut down: later versions wait for the next archiver.
///
/// ```
/// use trunkline_archive::{Archive, Archiver, ArchiverOptions};
/// # let directory = tempfile::tempdir()?;
/// # let path = |name: &str| directory.path().join(name);
/// # let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build()?;
/// # runtime.block_on(async {
/// # let engine = trunkline::Engine::open(trunkline::Config::in_directory(path("tree"))).await?;
/// let archive = Archive::at(path("archive").to_str().unwrap())?;
/// let archiver = Archiver::start(engine.clone(), archive, ArchiverOptions::default());
/// let durable = engine.put("alice", "10").await?.durable().await?;
/// let status = archiver.stop().await?;
/// assert!(status.archived.is_some_and(|archived| archived.version >= durable.version));
/// # engine.shutdown().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Archiver {
    task: JoinHandle<Result<(), ArchiverError>>,
    stop: watch::Sender<bool>,
    status: watch::Receiver<ArchiverStatus>,
}

impl Archiver {
    /// Starts to archive an engine: backs it up first, then follows it.
    ///
    /// It exports [`METRICS`](crate::METRICS).
    pub fn start(engine: Engine, archive: Archive, options: ArchiverOptions) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (sender, status) = watch::channel(ArchiverStatus::default());
        let metrics = ArchiverMetrics::new(engine.metrics().engine, &options.cursor);
        let run = Run {
            metrics,
            engine,
            archive,
            options,
            stopped,
            status: sender,
        };
        Self {
            task: tokio::spawn(run.run()),
            stop,
            status,
        }
    }

    /// Returns the progress of the archiver.
    pub fn status(&self) -> ArchiverStatus {
        self.status.borrow().clone()
    }

    /// Waits until a version is in the archive. Returns false if the archiver ended before that.
    pub async fn archived(&self, version: u64) -> bool {
        let has_it = |status: &ArchiverStatus| {
            let archived = status.archived;
            archived.is_some_and(|archived| archived.version >= version)
        };
        self.status.clone().wait_for(has_it).await.is_ok()
    }

    /// Writes the versions that are synced but not archived yet, and ends. If the store does not answer, there is no
    /// second attempt.
    ///
    /// # Errors
    ///
    /// Returns the error with which the archiver ended, or that of the last attempt.
    pub async fn stop(self) -> Result<ArchiverStatus, ArchiverError> {
        self.stop.send_replace(true);
        let ended = self.task.await;
        ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
        Ok(self.status.borrow().clone())
    }
}

struct Run {
    engine: Engine,
    archive: Archive,
    options: ArchiverOptions,
    stopped: watch::Receiver<bool>,
    status: watch::Sender<ArchiverStatus>,
    metrics: ArchiverMetrics,
}

/// An event that a follower waits for.
enum Event {
    Entry(Box<LogEntry>),
    /// The oldest waiting version has reached the maximum age.
    Due,
    /// The archiver is stopped.
    Stop,
    /// The engine is shut down, and all its entries were read.
    End,
    /// The log was trimmed beyond the cursor.
    Gap,
}

impl Run {
    async fn run(mut self) -> Result<(), ArchiverError> {
        loop {
            let after = self.back_up().await?;
            if self.follow(after).await? {
                return Ok(());
            }
        }
    }

    /// Backs the engine up, until that succeeds. Returns the last archived version.
    async fn back_up(&mut self) -> Result<LogPosition, ArchiverError> {
        // The cursor is set first, to the archived version or else the current one: reading a base may take long.
        if !self.is_held() {
            self.set_cursor(self.engine.synced_version()).await?;
        }
        let mut retry = RETRY_FIRST;
        loop {
            let source = Source::Engine(self.engine.clone());
            let key = self.options.key.clone();
            let made = self.archive.back_up(&source, self.options.base, key).await;
            let error = match made {
                Ok(backup) => {
                    self.metrics.version.set(backup.last.version as f64);
                    self.status.send_modify(|status| {
                        status.base = backup.base.or(status.base);
                        status.archived = Some(backup.last);
                        status.failing = None;
                    });
                    self.set_cursor(backup.last.version).await?;
                    return Ok(backup.last);
                }
                Err(error) => error,
            };
            self.wait_after(error, &mut retry).await?;
        }
    }

    /// Writes the versions after a position. Returns true if the archiver has ended, or false if it needs a new base.
    async fn follow(&mut self, after: LogPosition) -> Result<bool, ArchiverError> {
        let (archive, tree_id) = (self.archive.clone(), self.engine.params().tree_id());
        let key = self.options.key.clone();
        let mut appender = SegmentAppender::new(archive, tree_id, after, key);
        let mut feed = self.engine.feed(after.version + 1);
        let mut due = None;
        loop {
            match self.next(&mut feed, due).await? {
                Event::Entry(entry) => {
                    if appender.must_write_before(&entry) {
                        self.write(&mut appender).await?;
                    }
                    appender.append(*entry)?;
                    if !appender.is_full() {
                        due.get_or_insert_with(|| Instant::now() + self.options.age_max);
                        continue;
                    }
                }
                Event::Due => {}
                Event::Gap => return Ok(false),
                Event::Stop => return self.stop(&mut appender, &mut feed).await.map(|()| true),
                Event::End => {
                    self.write(&mut appender).await?;
                    return Ok(true);
                }
            }
            due = None;
            self.write(&mut appender).await?;
            self.set_cursor(appender.archived().version).await?;
        }
    }

    async fn next(
        &mut self,
        feed: &mut Feed,
        due: Option<Instant>,
    ) -> Result<Event, ArchiverError> {
        let is_due = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let entry = tokio::select! {
            biased;
            _ = self.stopped.wait_for(|stopped| *stopped) => return Ok(Event::Stop),
            () = is_due => return Ok(Event::Due),
            entry = feed.next_entry() => entry,
        };
        match entry {
            Some(Ok(entry)) => Ok(Event::Entry(Box::new(entry))),
            Some(Err(FeedError::Gap { .. })) => Ok(Event::Gap),
            Some(Err(error)) => Err(BackupError::from(error).into()),
            None => Ok(Event::End),
        }
    }

    /// Writes the versions that are synced now, in one attempt.
    async fn stop(
        &mut self,
        appender: &mut SegmentAppender,
        feed: &mut Feed,
    ) -> Result<(), ArchiverError> {
        while let Some(entry) = feed.try_next().map_err(BackupError::from)? {
            if appender.must_write_before(&entry) {
                appender.write().await?;
            }
            appender.append(entry)?;
        }
        appender.write().await?;
        self.show(appender);
        self.set_cursor(appender.archived().version).await
    }

    /// Writes the appended entries, until that succeeds.
    async fn write(&mut self, appender: &mut SegmentAppender) -> Result<(), ArchiverError> {
        let mut retry = RETRY_FIRST;
        while let Err(error) = appender.write().await {
            self.wait_after(error.into(), &mut retry).await?;
        }
        self.show(appender);
        Ok(())
    }

    fn show(&self, appender: &SegmentAppender) {
        self.metrics.version.set(appender.archived().version as f64);
        self.status.send_modify(|status| {
            status.archived = Some(appender.archived());
            status.failing = None;
        });
    }

    /// Waits after a failed attempt, longer each time. Fails if another attempt cannot help, or if the archiver is
    /// stopped meanwhile.
    async fn wait_after(
        &mut self,
        error: BackupError,
        retry: &mut Duration,
    ) -> Result<(), ArchiverError> {
        if !error.retry_can_help() {
            return Err(error.into());
        }
        self.metrics.failures.increment(1);
        let source = Arc::new(error);
        self.status.send_modify(|status| {
            status.failures += 1;
            status.failing = Some(source.clone());
        });
        let wait = std::mem::replace(retry, RETRY_LAST.min(*retry * 2));
        tokio::select! {
            _ = self.stopped.wait_for(|stopped| *stopped) => Err(ArchiverError::Stopped { source }),
            () = sleep(wait) => Ok(()),
        }
    }

    /// Returns whether the cursor holds the log back.
    fn is_held(&self) -> bool {
        let cursors = self.engine.cursors();
        let is_own = |cursor: &FeedCursor| cursor.name == self.options.cursor && !cursor.is_gap;
        cursors.iter().any(is_own)
    }

    /// Lets the log be trimmed up to a version. Writes a small file, on a thread that may block.
    async fn set_cursor(&self, version: u64) -> Result<(), ArchiverError> {
        let (engine, name) = (self.engine.clone(), self.options.cursor.clone());
        let set = spawn_blocking(move || engine.set_cursor(&name, version)).await;
        match set.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())) {
            // The archived version may be older than that of another archive with this cursor name.
            Ok(()) | Err(CursorError::Behind { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
