//! Windows of measurements, and the decisions based on them with their reasons: as data, for files, metrics and
//! reports.

mod decision;
mod latencies;
mod quantiles;
mod window;

pub use decision::{Change, Decision, Evidence, Move, Reason, Seen, Work};
pub use latencies::Latencies;
pub(crate) use latencies::histogram;
pub use quantiles::Quantiles;
pub use window::{StageWindow, Window};
