//! Limits of one client.

use std::time::Duration;

use trunkline::config::ServerConfig;

/// Limits of connections. All are bounds on what a client can hold without being served.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at the same time. Further ones are closed at once.
    pub connections_max: usize,
    /// Requests at the same time on one connection (HTTP/2).
    pub streams_max: u32,
    /// Bytes of a body that a client may send before anybody reads it (HTTP/2): few, so that a large submission that is
    /// refused for want of room costs neither side its body.
    pub stream_window_bytes: u32,
    /// Bytes of a request's headers.
    pub header_bytes_max: u32,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long the headers of a request may take (HTTP/1), counted from the end of the request before, and how long a
    /// connection may say nothing at first.
    pub headers: Duration,
    /// How long a request's body may keep its handler waiting, in all, beyond what `body_bytes_per_second` allows.
    pub body: Duration,
    /// Bytes of a body that earn it one more second.
    pub body_bytes_per_second: u64,
    /// How long a client may take nothing of what is sent to it: of a response, or of the connection.
    pub stall: Duration,
    /// How long a connection may be open without a request.
    pub idle: Duration,
    /// How often a client has to answer a ping (HTTP/2).
    pub ping_interval: Duration,
    /// How long it may take for that.
    pub ping_timeout: Duration,
    /// How long a stop waits for requests in flight.
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
    /// How often a connection is looked at.
    pub(crate) fn tick(&self) -> Duration {
        let least = self.headers.min(self.idle).min(self.stall);
        (least / 4).clamp(Duration::from_millis(10), Duration::from_secs(5))
    }
}
