//! Clients that stop reading. They are detected in two places: the socket, which accepts no more bytes, and each
//! response, which is not asked for its next part (with HTTP/2 a client can stop one response and keep the connection
//! busy).

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::listen::activity::InFlight;
use crate::observe::table::{self, Stalled};

/// Most bytes that leave a response at a time, which bounds the protocol's buffers for a stalled client.
const PART_BYTES_MAX: usize = 64 * 1024;

tokio::task_local! {
    /// The response that the current task sends.
    static CURRENT: Arc<Sending>;
}

/// The time since which a part of a response waits to be taken.
#[derive(Default)]
pub(crate) struct Sending {
    waits_since: Mutex<Option<Instant>>,
}

impl Sending {
    /// Returns the one of the current task.
    pub(crate) fn current() -> Arc<Self> {
        CURRENT
            .try_with(|sending| sending.clone())
            .unwrap_or_default()
    }

    fn stalls_at(&self, at_most: Duration) -> Option<Instant> {
        self.waits_since.lock().map(|since| since + at_most)
    }
}

/// Runs a future until it ends, or until its response has waited too long; then returns `None`.
pub(crate) async fn until_stalled<F: Future>(future: F, at_most: Duration) -> Option<F::Output> {
    let sending = Arc::new(Sending::default());
    let stalled = stalled(sending.clone(), at_most);
    tokio::select! {
        biased;
        output = CURRENT.scope(sending, future) => Some(output),
        () = stalled => {
            table::stalled(Stalled::Response).increment(1);
            None
        }
    }
}

async fn stalled(sending: Arc<Sending>, at_most: Duration) {
    loop {
        sleep(at_most / 4).await;
        let stalls_at = sending.stalls_at(at_most);
        if stalls_at.is_some_and(|at| at <= Instant::now()) {
            return;
        }
    }
}

/// A response's body in parts, which notes when a part waits.
pub(crate) struct Parts {
    body: Body,
    rest: Bytes,
    sending: Arc<Sending>,
    _in_flight: InFlight,
}

impl Parts {
    pub(crate) fn new(body: Body, sending: Arc<Sending>, in_flight: InFlight) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            sending,
            _in_flight: in_flight,
        }
    }

    fn next_part(&mut self) -> Bytes {
        let length = self.rest.len().min(PART_BYTES_MAX);
        self.rest.split_to(length)
    }
}

impl HttpBody for Parts {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        *self.sending.waits_since.lock() = None;
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        *self.sending.waits_since.lock() = Some(Instant::now());
        Poll::Ready(Some(Ok(Frame::data(self.next_part()))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + rest);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        *self.sending.waits_since.lock() = None;
    }
}

/// A socket that fails if it accepts nothing for too long.
pub(crate) struct Patient<S> {
    socket: S,
    at_most: Duration,
    /// Runs while the socket accepts nothing.
    deadline: Option<Pin<Box<Sleep>>>,
    read_bytes: Arc<AtomicU64>,
}

impl<S> Patient<S> {
    /// Wraps a socket. Read bytes are counted.
    pub(crate) fn new(socket: S, at_most: Duration, read_bytes: Arc<AtomicU64>) -> Self {
        Self {
            socket,
            at_most,
            deadline: None,
            read_bytes,
        }
    }

    fn unless_stalled<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.deadline = None;
            return polled;
        }
        let at_most = self.at_most;
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + at_most)));
        ready!(deadline.as_mut().poll(context));
        table::stalled(Stalled::Connection).increment(1);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.socket).poll_read(context, buffer);
        let read = buffer.filled().len() - before;
        self.read_bytes.fetch_add(read as u64, Ordering::Relaxed);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.unless_stalled(polled, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.unless_stalled(polled, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.socket).poll_flush(context);
        self.unless_stalled(polled, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
