//! Shows a running load on the whole terminal: rates, latencies, stages and decisions.
//!
//! `view` draws the progress, `screen` takes the terminal and restores it.

mod screen;
mod view;

pub(crate) use screen::{Screen, ScreenError, give_back};
