//! What the verifier alone pulls in: no actor, no runtime, no store, no threads, no std.

mod packages;
mod sources;
