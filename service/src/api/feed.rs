//! The feed as a stream.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use trunkline::Feed;
use trunkline::core::store::log::LogEntry;

use super::Api;
use crate::error::ServiceError;
use crate::observe::held::Held;
use crate::observe::table::{self, Stream as StreamKind};
use crate::proto::{FeedEntry, FeedRequest};

/// Number of versions that are read ahead of a caller. A slow caller delays only its own stream.
const AHEAD: usize = 2;

/// The versions from one on, until the caller leaves, the engine is shut down, or an error occurs.
pub struct FeedStream {
    entries: mpsc::Receiver<Result<LogEntry, ServiceError>>,
    _place: OwnedSemaphorePermit,
    _counted: Held,
}

impl Api {
    /// Begins a feed.
    ///
    /// # Errors
    ///
    /// Fails if there are too many streams. If a version is no longer in the log, the stream itself says so.
    pub fn feed(&self, request: FeedRequest) -> Result<FeedStream, ServiceError> {
        let place = self.stream_place()?;
        let (sender, entries) = mpsc::channel(AHEAD);
        tokio::spawn(read(
            self.backend.feed(request.from),
            sender,
            self.drained(),
        ));
        Ok(FeedStream {
            entries,
            _place: place,
            _counted: Held::add(table::streams(StreamKind::Feed), 1),
        })
    }

    /// Takes a permit for a stream.
    ///
    /// # Errors
    ///
    /// Fails if there is none left.
    pub(crate) fn stream_place(&self) -> Result<OwnedSemaphorePermit, ServiceError> {
        let place = self.streams.clone().try_acquire_owned();
        place.map_err(|_| ServiceError::overloaded())
    }
}

async fn read(
    mut feed: Feed,
    sender: mpsc::Sender<Result<LogEntry, ServiceError>>,
    drained: impl Future<Output = ()>,
) {
    let mut drained = pin!(drained);
    loop {
        let next = tokio::select! {
            next = feed.next_entry() => next.map(|entry| entry.map_err(ServiceError::from)),
            () = &mut drained => Some(Err(ServiceError::draining())),
            () = sender.closed() => return,
        };
        let Some(entry) = next else { return };
        let is_last = entry.is_err();
        if sender.send(entry).await.is_err() || is_last {
            return;
        }
    }
}

impl Stream for FeedStream {
    type Item = Result<FeedEntry, ServiceError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let entry = ready!(self.entries.poll_recv(context));
        Poll::Ready(entry.map(|entry| Ok(message(entry?))))
    }
}

fn message(entry: LogEntry) -> FeedEntry {
    let kzg_root = entry.kzg_root.as_ref().map(|root| &root[..]);
    FeedEntry {
        version: entry.record.version,
        commit_id: Bytes::copy_from_slice(&entry.record.commit_id()),
        record: entry.record.encode().into(),
        kzg_root: Bytes::copy_from_slice(kzg_root.unwrap_or_default()),
        outcomes: entry.outcomes,
        effects: entry.effects,
    }
}
