//! Request bodies of clients that send slowly.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::HttpBody;
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::listen::limits::Limits;
use crate::observe::table::{Stalled, stalled};

/// The error of a body that kept its handler waiting for too long.
#[derive(Debug, thiserror::Error)]
#[error("the request's body came too slowly")]
pub struct SlowBody;

/// A request's body that fails if its handler has waited too long in total. Time in which no handler asks for the next
/// part does not count, since it is not the client's fault.
pub(crate) struct Timed {
    body: Incoming,
    grace: Duration,
    bytes_per_second: u64,
    received: u64,
    waited: Duration,
    waits: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Timed {
    pub(crate) fn new(body: Incoming, limits: &Limits) -> Self {
        Self {
            body,
            grace: limits.body,
            bytes_per_second: limits.body_bytes_per_second.max(1),
            received: 0,
            waited: Duration::ZERO,
            waits: None,
        }
    }

    fn allowed(&self) -> Duration {
        let earned = Duration::from_secs_f64(self.received as f64 / self.bytes_per_second as f64);
        (self.grace + earned).saturating_sub(self.waited)
    }
}

impl HttpBody for Timed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            if let Some((since, _)) = self.waits.take() {
                self.waited += since.elapsed();
            }
            if let Some(Ok(frame)) = &frame {
                self.received += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from)));
        }
        let allowed = self.allowed();
        let (_, deadline) = self.waits.get_or_insert_with(|| {
            let now = Instant::now();
            (now, Box::pin(sleep_until(now + allowed)))
        });
        ready!(deadline.as_mut().poll(context));
        stalled(Stalled::Request).increment(1);
        Poll::Ready(Some(Err(SlowBody.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
