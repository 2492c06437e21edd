//! Sockets, TLS and connections: everything up to a request, and what one client may take.

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
