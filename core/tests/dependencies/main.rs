//! The dependencies of the verifier alone: no actor, no runtime, no store, no threads, no std.

mod packages;
mod sources;
