//! One connection, from its handshake to its end.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, COOKIE};
use axum::http::{HeaderMap, Request, Response};
use axum::{BoxError, Router};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tower::ServiceExt;

use crate::listen::activity::{Activity, Verdict};
use crate::listen::limits::Limits;
use crate::listen::slow_body::Timed;
use crate::listen::stall::{Parts, Patient, Sending, until_stalled};
use crate::listen::tls::{Tls, client_certificate};
use crate::observe::table::{Refusal, connections_refused};
use crate::peer::Peer;

/// The state that all connections share.
pub(crate) struct Shared {
    pub(crate) router: Router,
    pub(crate) limits: Limits,
    pub(crate) tls: Option<Arc<Tls>>,
    /// True if the address is a loopback one.
    pub(crate) is_loopback: bool,
    pub(crate) stop: watch::Receiver<bool>,
    /// Number of requests on all connections.
    pub(crate) in_flight: Arc<AtomicUsize>,
}

/// Serves a connection until it ends, with TLS if it is configured.
pub(crate) async fn serve_tcp<S>(shared: Arc<Shared>, socket: S, peer: Peer)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let activity = Arc::new(Activity::new(shared.in_flight.clone(), Instant::now()));
    let patient = Patient::new(socket, shared.limits.stall, activity.read_bytes.clone());
    let Some(tls) = shared.tls.clone() else {
        return serve_http(shared, patient, peer, activity).await;
    };
    let mut stop = shared.stop.clone();
    let handshake = timeout(shared.limits.handshake, tls.acceptor().accept(patient));
    let shaken = tokio::select! {
        shaken = handshake => shaken,
        _ = stop.wait_for(|stop| *stop) => return,
    };
    let fail = |reason| connections_refused(reason).increment(1);
    let stream = match shaken {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "TLS handshake failed");
            return fail(Refusal::Handshake);
        }
        Err(_) => return fail(Refusal::HandshakeTimeout),
    };
    let certificates = stream.get_ref().1.peer_certificates();
    let certificate = certificates.and_then(|chain| client_certificate(chain.first()?));
    let peer = Peer {
        certificate: certificate.map(Arc::new),
        is_tls: true,
        ..peer
    };
    // The handshake says nothing about HTTP.
    activity.read_bytes.store(0, Ordering::Relaxed);
    serve_http(shared, stream, peer, activity).await;
}

/// Serves a connection of the Unix socket until it ends.
pub(crate) async fn serve_unix<S>(shared: Arc<Shared>, socket: S, peer: Peer)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let activity = Arc::new(Activity::new(shared.in_flight.clone(), Instant::now()));
    let patient = Patient::new(socket, shared.limits.stall, activity.read_bytes.clone());
    serve_http(shared, patient, peer, activity).await;
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

async fn serve_http(
    shared: Arc<Shared>,
    stream: impl Stream + 'static,
    peer: Peer,
    activity: Arc<Activity>,
) {
    // Boxed, so that it is compiled once for all kinds of sockets.
    let stream: Box<dyn Stream> = Box::new(stream);
    let builder = builder(&shared.limits);
    let stall = shared.limits.stall;
    let (shared_by_requests, counted, sender) = (shared.clone(), activity.clone(), peer.clone());
    let service = service_fn(move |request| {
        let shared = shared_by_requests.clone();
        answer(shared, request, sender.clone(), counted.clone())
    });
    let connection = builder
        .serve_connection(TokioIo::new(stream), service)
        .into_owned();
    let driven = drive(connection, shared, activity);
    let driven: Pin<Box<dyn Future<Output = Ended> + Send>> = Box::pin(driven);
    if let Some(Err(error)) = until_stalled(driven, stall).await.flatten() {
        tracing::debug!(%peer, %error, "connection ended by an error");
    }
}

/// The end of a connection; `None` if it was closed.
type Ended = Option<Result<(), BoxError>>;

/// Number of unread bytes that a client may send, on all streams of a connection.
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;

/// Number of frames for reset streams after which a connection is closed. A client whose submissions are refused sends
/// such frames, since the bodies are already in flight; so does one that floods the connection.
const LATE_FRAMES_MAX: usize = 100_000;

fn builder(limits: &Limits) -> auto::Builder<Watching> {
    let mut builder = auto::Builder::new(Watching {
        stall: limits.stall,
    });
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.headers)
        .max_buf_size((limits.header_bytes_max as usize).max(64 * 1024));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_max)
        .initial_stream_window_size(limits.stream_window_bytes)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(limits.header_bytes_max)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(LATE_FRAMES_MAX)
        .keep_alive_interval(limits.ping_interval)
        .keep_alive_timeout(limits.ping_timeout);
    builder
}

/// Runs the requests of HTTP/2, each in a task that ends if its response stalls. The client then gets a reset.
#[derive(Clone)]
struct Watching {
    stall: std::time::Duration,
}

impl<F> Executor<F> for Watching
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, future: F) {
        TokioExecutor::new().execute(until_stalled(future, self.stall));
    }
}

async fn answer(
    shared: Arc<Shared>,
    mut request: Request<Incoming>,
    peer: Peer,
    activity: Arc<Activity>,
) -> Result<Response<Parts>, Infallible> {
    let in_flight = activity.begin();
    let sending = Sending::current();
    hide_secrets(request.headers_mut());
    request.extensions_mut().insert(peer);
    let request = request.map(|body| Body::new(Timed::new(body, &shared.limits)));
    let response = shared.router.clone().oneshot(request).await?;
    Ok(response.map(|body| Parts::new(body, sending, in_flight)))
}

/// Marks secret headers as sensitive, so that their values are left out when headers are printed.
fn hide_secrets(headers: &mut HeaderMap) {
    for name in [AUTHORIZATION, COOKIE] {
        if let axum::http::header::Entry::Occupied(mut values) = headers.entry(name) {
            values
                .iter_mut()
                .for_each(|value| value.set_sensitive(true));
        }
    }
}

/// Runs a connection until it ends, is idle for too long, or the service stops.
async fn drive<S>(
    connection: auto::Connection<'static, TokioIo<Box<dyn Stream>>, S, Watching>,
    shared: Arc<Shared>,
    activity: Arc<Activity>,
) -> Ended
where
    S: Service<Request<Incoming>, Response = Response<Parts>, Error = Infallible>,
    S::Future: Send + 'static,
{
    let limits = &shared.limits;
    let mut stop = shared.stop.clone();
    let mut connection = pin!(connection);
    let mut ticks = interval(limits.tick());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut finishing = None;
    loop {
        let verdict = tokio::select! {
            ended = connection.as_mut() => return Some(ended),
            _ = stop.wait_for(|stop| *stop), if finishing.is_none() => Verdict::Finish,
            now = ticks.tick() => match finishing {
                Some(since) => activity.judge_finishing(since, limits, now),
                None => activity.judge(limits, now),
            },
        };
        match verdict {
            Verdict::Keep => {}
            Verdict::Close => return None,
            Verdict::Finish => {
                finishing = Some(Instant::now());
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}
