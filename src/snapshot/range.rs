//! Reads of a range of keys in byte order: by page, one entry after the other, and as a stream.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use trunkline_actors::state::order::{KeyRange, RangePage};
use trunkline_actors::state::read::ReadError;

use super::Snapshot;

/// A key and its value, or the reason why it was not read.
type Entry = Result<(Bytes, Bytes), ReadError>;
/// A page that is being read.
type Reading = Pin<Box<dyn Future<Output = Result<RangePage, ReadError>> + Send>>;

impl Snapshot {
    /// Returns the first page of a range: keys in byte order, with their values. [`KeyRange::after`] with the page's resume
    /// key is the range of the next one. Blocks while it reads the leaf store. Needs `store.key_order`.
    ///
    /// Nothing proves that a page is complete: the tree is ordered by key hash. A page may have few entries, or none, and a
    /// resume key ([`RangePage`]).
    ///
    /// # Errors
    ///
    /// Fails with [`ReadError::NoKeyOrder`] without the index, and otherwise as [`Self::get`].
    pub fn range(&self, range: &KeyRange) -> Result<RangePage, ReadError> {
        match self.past() {
            Some(past) => past.range(range),
            None => self.state.range_at(&self.version, range),
        }
    }

    /// Returns the first page of the keys that begin with these bytes, as [`Self::range`] does.
    ///
    /// # Errors
    ///
    /// As [`Self::range`].
    pub fn prefix(&self, prefix: &[u8]) -> Result<RangePage, ReadError> {
        self.range(&KeyRange::prefix(prefix))
    }

    /// Works like [`Self::range`], on a thread of the engine.
    ///
    /// # Errors
    ///
    /// As [`Self::range`].
    pub async fn range_async(&self, range: KeyRange) -> Result<RangePage, ReadError> {
        let snapshot = self.clone();
        let read = move || snapshot.range(&range);
        self.state.pools.read_async(read).await
    }

    /// Returns an iterator over a range, which reads a page at a time and blocks meanwhile. After an error it ends.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let mut config = trunkline::Config::in_directory(directory.path());
    /// config.store.key_order = true;
    /// let engine = trunkline::Engine::open_blocking(config)?;
    /// for key in ["user/bob", "user/alice", "job/1"] {
    ///     engine.put_blocking(key, "1")?.durable_blocking()?;
    /// }
    /// let users = engine.snapshot().range_iter(trunkline::KeyRange::prefix("user/"));
    /// let keys: Vec<_> = users.map(|entry| entry.map(|(key, _)| key)).collect::<Result<_, _>>()?;
    /// assert_eq!(keys, ["user/alice", "user/bob"]);
    /// # engine.shutdown_blocking()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn range_iter(&self, range: KeyRange) -> RangeIter {
        RangeIter {
            pages: Pages::new(self, range),
        }
    }

    /// Returns a stream of a range. It reads a page at a time, on threads of the engine, and works from any runtime. After
    /// an error it ends.
    pub fn range_stream(&self, range: KeyRange) -> RangeStream {
        RangeStream {
            pages: Pages::new(self, range),
            reading: None,
        }
    }
}

/// A range that is read page by page.
#[derive(Debug)]
struct Pages {
    snapshot: Snapshot,
    /// The entries that were read.
    ready: VecDeque<(Bytes, Bytes)>,
    /// The part of the range that was not read yet.
    rest: Option<KeyRange>,
}

impl Pages {
    fn new(snapshot: &Snapshot, range: KeyRange) -> Self {
        Self {
            snapshot: snapshot.clone(),
            ready: VecDeque::new(),
            rest: Some(range),
        }
    }

    /// Takes the next page, which belongs to `range`.
    fn take(&mut self, range: KeyRange, page: RangePage) {
        self.ready = page.entries.into();
        self.rest = page.resume.map(|key| range.after(key));
    }
}

/// An iterator over a range of keys. Created by [`Snapshot::range_iter`].
#[derive(Debug)]
pub struct RangeIter {
    pages: Pages,
}

impl Iterator for RangeIter {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        let pages = &mut self.pages;
        while pages.ready.is_empty() {
            let range = pages.rest.take()?;
            match pages.snapshot.range(&range) {
                Ok(page) => pages.take(range, page),
                Err(error) => return Some(Err(error)),
            }
        }
        pages.ready.pop_front().map(Ok)
    }
}

/// A stream of a range of keys. Created by [`Snapshot::range_stream`].
pub struct RangeStream {
    pages: Pages,
    reading: Option<(KeyRange, Reading)>,
}

impl std::fmt::Debug for RangeStream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("RangeStream")
            .field("pages", &self.pages)
            .finish_non_exhaustive()
    }
}

impl Stream for RangeStream {
    type Item = Entry;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Entry>> {
        let stream = self.get_mut();
        loop {
            if let Some(entry) = stream.pages.ready.pop_front() {
                return Poll::Ready(Some(Ok(entry)));
            }
            if stream.reading.is_none() {
                let Some(range) = stream.pages.rest.take() else {
                    return Poll::Ready(None);
                };
                let (snapshot, asked) = (stream.pages.snapshot.clone(), range.clone());
                let reading = Box::pin(async move { snapshot.range_async(asked).await });
                stream.reading = Some((range, reading));
            }
            let Some((range, reading)) = &mut stream.reading else {
                continue;
            };
            let page = ready!(reading.as_mut().poll(context));
            let range = range.clone();
            stream.reading = None;
            match page {
                Ok(page) => stream.pages.take(range, page),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}
