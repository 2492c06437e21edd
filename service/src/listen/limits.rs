//! Limits for one client.

use std::time::Duration;

use trunkline::config::ServerConfig;

/// Limits for connections. Each bounds the resources that a client can hold without being served.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most connections at the same time. Further ones are closed at once.
    pub connections_max: usize,
    /// Most requests at the same time on one connection (HTTP/2).
    pub streams_max: u32,
    /// Number of unread bytes of a body that a client may send (HTTP/2): few, so that a large submission that is
    /// refused for lack of capacity costs neither side its body.
    pub stream_window_bytes: u32,
    /// Most bytes of a request's headers.
    pub header_bytes_max: u32,
    /// Time limit of a TLS handshake.
    pub handshake: Duration,
    /// Time limit for the headers of a request (HTTP/1), measured from the end of the previous request, and for the
    /// first bytes of a connection.
    pub headers: Duration,
    /// Total time for which a request's body may keep its handler waiting, in addition to what `body_bytes_per_second`
    /// allows.
    pub body: Duration,
    /// Number of bytes of a body for which one more second is allowed.
    pub body_bytes_per_second: u64,
    /// Time for which a client may accept nothing that is sent to it, on a response or on the connection.
    pub stall: Duration,
    /// Time for which a connection may be open without a request.
    pub idle: Duration,
    /// Interval of pings that a client must answer (HTTP/2).
    pub ping_interval: Duration,
    /// Time limit of the answer to a ping.
    pub ping_timeout: Duration,
    /// Time for which a stop waits for requests in flight.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connections_max: 1024,
            streams_max: 256,
            stream_window_bytes: 16 * 1024,
            header_bytes_max: 32 * 1024,
            handshake: seconds(10),
            headers: seconds(30),
            body: seconds(30),
            body_bytes_per_second: 64 * 1024,
            stall: seconds(60),
            idle: seconds(300),
            ping_interval: seconds(30),
            ping_timeout: seconds(20),
            drain: seconds(20),
        }
    }
}

impl From<&ServerConfig> for Limits {
    fn from(config: &ServerConfig) -> Self {
        Self {
            connections_max: config.connections_max,
            stream_window_bytes: config.stream_window_bytes,
            drain: Duration::from_millis(config.drain_ms),
            ..Self::default()
        }
    }
}

impl Limits {
    /// Returns the interval at which a connection is checked.
    pub(crate) fn tick(&self) -> Duration {
        let least = self.headers.min(self.idle).min(self.stall);
        (least / 4).clamp(Duration::from_millis(10), Duration::from_secs(5))
    }
}
