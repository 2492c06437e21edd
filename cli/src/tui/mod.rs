//! Shows a running load on the whole terminal: rates, latencies, stages and decisions.
//!
//! `live` holds the content, `view` draws it, `screen` takes the terminal and gives it back.

mod live;
mod screen;
mod view;

pub(crate) use live::Live;
pub(crate) use screen::{Screen, ScreenError, give_back};
