//! The accept loop.

use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use tokio::net::unix::UCred;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::listen::connection::{Shared, serve_tcp, serve_unix};
use crate::listen::limits::Limits;
use crate::listen::listeners::Listeners;
use crate::observe::table::{self, Refusal};
use crate::peer::{Peer, Source};

/// Pause in accepting connections after an error of the system.
const BACK_OFF: Duration = Duration::from_millis(200);

/// The result of a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Number of requests that had not ended at the deadline. Their connections were closed.
    pub cut_off: usize,
}

enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

struct Sockets {
    tcp: Option<TcpListener>,
    unix: Option<UnixListener>,
}

impl Listeners {
    /// Serves a router until `stop` is ready. Then no more connections are accepted, requests in flight have
    /// `limits.drain` to end, and the remaining connections are closed.
    ///
    /// Each request has its [`Peer`] as an extension.
    ///
    /// # Errors
    ///
    /// Fails if the runtime cannot watch the sockets.
    pub async fn serve(
        self,
        router: Router,
        limits: Limits,
        stop: impl Future<Output = ()>,
    ) -> io::Result<Drained> {
        let sockets = Sockets {
            tcp: self.tcp.map(TcpListener::from_std).transpose()?,
            unix: self.unix.map(UnixListener::from_std).transpose()?,
        };
        let bound = sockets.tcp.as_ref().map(TcpListener::local_addr);
        let is_loopback =
            matches!(bound, Some(Ok(address)) if address.ip().to_canonical().is_loopback());
        let (tell, told) = watch::channel(false);
        let permits = Arc::new(Semaphore::new(limits.connections_max));
        let shared = Arc::new(Shared {
            router,
            limits,
            tls: self.tls,
            is_loopback,
            stop: told,
            in_flight: Arc::new(AtomicUsize::new(0)),
        });
        let mut connections = JoinSet::new();
        let mut stop = pin!(stop);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stop => break,
                Some(_) = connections.join_next() => continue,
                accepted = sockets.accept() => accepted,
            };
            match permits.clone().try_acquire_owned() {
                Ok(permit) => begin(&mut connections, &shared, accepted, permit),
                Err(_) => refuse(accepted),
            }
        }
        drop(sockets);
        // The socket's name is free before the last request has ended, so that a successor can bind.
        drop(self.socket_file);
        let _ = tell.send(true);
        Ok(drain(connections, &shared).await)
    }
}

fn begin(
    connections: &mut JoinSet<()>,
    shared: &Arc<Shared>,
    accepted: Accepted,
    permit: OwnedSemaphorePermit,
) {
    table::connections_accepted().increment(1);
    let shared = shared.clone();
    connections.spawn(async move {
        let _open = Open::new(permit);
        match accepted {
            Accepted::Tcp(socket, remote) => {
                if let Some(peer) = tcp_peer(&socket, remote, shared.is_loopback) {
                    serve_tcp(shared, socket, peer).await;
                }
            }
            Accepted::Unix(socket) => {
                if let Ok(peer) = socket.peer_cred().map(unix_peer) {
                    serve_unix(shared, socket, peer).await;
                }
            }
        }
    });
}

/// A counted connection.
struct Open {
    _permit: OwnedSemaphorePermit,
}

impl Open {
    fn new(permit: OwnedSemaphorePermit) -> Self {
        table::connections().increment(1);
        Self { _permit: permit }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        table::connections().decrement(1);
    }
}

fn tcp_peer(socket: &TcpStream, remote: SocketAddr, is_loopback: bool) -> Option<Peer> {
    // A response is one write, which should not wait for the acknowledgement of the previous one.
    socket.set_nodelay(true).ok()?;
    let local = socket.local_addr().ok()?;
    Some(Peer {
        source: Source::Tcp { remote, local },
        certificate: None,
        is_loopback,
        is_tls: false,
    })
}

fn unix_peer(process: UCred) -> Peer {
    Peer {
        source: Source::Unix {
            uid: process.uid(),
            pid: process.pid(),
        },
        certificate: None,
        is_loopback: false,
        is_tls: false,
    }
}

/// Closes a connection at once, so that the system need not remember it.
fn refuse(accepted: Accepted) {
    table::connections_refused(Refusal::Limit).increment(1);
    if let Accepted::Tcp(socket, _) = accepted {
        let _ = socket.set_zero_linger();
    }
}

impl Sockets {
    /// Accepts the next connection of either socket.
    async fn accept(&self) -> Accepted {
        tokio::select! {
            accepted = accept_tcp(self.tcp.as_ref()) => accepted,
            accepted = accept_unix(self.unix.as_ref()) => accepted,
        }
    }
}

/// Accepts the next connection; waits for ever without a listener.
async fn accept_tcp(listener: Option<&TcpListener>) -> Accepted {
    let Some(listener) = listener else {
        return pending().await;
    };
    loop {
        match listener.accept().await {
            Ok((socket, remote)) => return Accepted::Tcp(socket, remote),
            Err(error) => back_off(error).await,
        }
    }
}

/// Accepts the next connection; waits for ever without a listener.
async fn accept_unix(listener: Option<&UnixListener>) -> Accepted {
    let Some(listener) = listener else {
        return pending().await;
    };
    loop {
        match listener.accept().await {
            Ok((socket, _)) => return Accepted::Unix(socket),
            Err(error) => back_off(error).await,
        }
    }
}

/// Waits after an error. If the system is out of descriptors or memory, it fails at once each time.
async fn back_off(error: io::Error) {
    table::accept_errors().increment(1);
    if !is_of_the_client(&error) {
        tracing::warn!(%error, "no connection can be accepted now; see LimitNOFILE of the service");
        sleep(BACK_OFF).await;
    }
}

/// Returns whether a connection was closed before it was accepted.
fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

async fn drain(mut connections: JoinSet<()>, shared: &Shared) -> Drained {
    let ended = async { while connections.join_next().await.is_some() {} };
    let cut_off = match timeout(shared.limits.drain, ended).await {
        Ok(()) => 0,
        Err(_) => shared.in_flight.load(Ordering::Relaxed),
    };
    connections.shutdown().await;
    Drained { cut_off }
}
