//! Listening, TLS, limits of connections, authentication, and the service manager.

mod connections;
mod descriptors;
mod drain;
mod login;
mod secrets;
mod sites;
mod sockets;
mod stalls;
mod support;
mod systemd;
mod tls;
mod token_files;
mod tokens;
