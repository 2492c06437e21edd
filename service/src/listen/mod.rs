//! Sockets, TLS and connections: everything before a request, and the limits for one client.

mod activity;
mod connection;
mod error;
mod limits;
mod listeners;
mod serve;
mod slow_body;
mod socket;
mod stall;
mod tls;

pub use error::{ListenError, TlsError};
pub use limits::Limits;
pub use listeners::{Addresses, Listeners};
pub use serve::Drained;
pub use slow_body::SlowBody;
pub use tls::Tls;
