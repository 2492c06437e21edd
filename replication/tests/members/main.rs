//! Primaries and replicas with real trees, over a carrier in memory and over real NATS servers.

mod acknowledge;
mod carried;
mod member;
mod nats;
mod partition;
mod servers;
