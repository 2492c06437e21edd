//! What the service tells of itself.

mod alerts;
mod dashboard;
mod documents;
mod groups;
mod lines;
mod log;
mod metrics;
mod promtool;
mod request;
mod service;
