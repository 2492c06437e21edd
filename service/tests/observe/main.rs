//! Observability of the service.

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
