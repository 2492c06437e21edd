//! The engine that people embed.
