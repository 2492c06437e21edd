//! A primary and its replicas on several machines.
//!
//! A primary publishes its signed frames to a carrier, and replicas follow. The carrier's stream is both log and fence:
//! each append names the message that it follows, so that two primaries can never both continue. `SPEC.md` §26 is the
//! normative text of the messages and of the rules by which they are read.
//!
//! * [`wire`]: messages and reports as bytes;
//! * [`carrier`]: the requirements on a carrier;
//! * [`protocol`]: the state machines, without input or output.
//!
//! * [`Primary`], [`Following`], [`rejoin`]: engines and replicas over a carrier;
//! * `nats`: NATS JetStream as the carrier.
//!
//! Signing and applying frames is done elsewhere (`trunkline_core::frame`, `trunkline::Replica`).

mod acknowledge;
pub mod carrier;
mod member;
mod memory;
mod metrics;
#[cfg(feature = "nats")]
pub mod nats;
mod primary;
pub mod protocol;
mod rejoin;
mod replica;
#[cfg(feature = "testing")]
pub mod simulated;
pub mod wire;

pub use acknowledge::{Acknowledge, AcknowledgeError, UnknownLevel};
pub use member::{Options, OptionsError, StreamError};
pub use memory::{Memory, MemoryError};
pub use metrics::METRICS;
pub use primary::{Level, LevelError, Primary, PrimaryFailure, StartError};
pub use rejoin::{RejoinError, Rejoined, rejoin};
pub use replica::{
    Archive, ArchiveError, ArchivedFrames, FollowerState, Following, FollowingFailure, Loss,
    PromoteError, Status,
};

/// The README's example, as a test.
#[cfg(all(doctest, feature = "nats"))]
#[doc = include_str!("../README.md")]
struct Readme;
