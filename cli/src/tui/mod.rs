//! The live view of a load: what the pipeline does, at which rates and latencies, and what is decided, on the whole
//! terminal.
//!
//! `live` is what is shown, `view` draws it and nothing else, `screen` takes the terminal and gives it back.

mod live;
mod screen;
mod view;

pub(crate) use live::Live;
pub(crate) use screen::{Screen, ScreenError, give_back};
