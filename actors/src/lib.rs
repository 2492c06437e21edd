//! The engine that people embed.

pub mod config;

pub use config::{Config, ConfigError};
