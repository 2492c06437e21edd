//! What the engine finds out by itself: from a window of measurements to decisions, each with its reason.
//!
//! Everything here is a pure function of a state and a [`Window`]: no clock, no thread, no lock, no
//! histogram of the running engine. Who measures windows and carries decisions out is `tuner`.

mod batch_size;
mod decision;
mod latencies;
mod observation;
mod settings;
mod window;

pub use batch_size::BatchSize;
pub use decision::{Change, Decision, Phase, Reason, Seen, Work};
pub use latencies::Latencies;
pub use settings::{ControlSettings, Limits};
pub use window::{StageWindow, Window};
