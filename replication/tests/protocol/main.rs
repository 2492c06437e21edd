//! The protocol over a simulated carrier, and its messages as bytes.

mod chain;
mod model;
mod rounds;
mod wire;
mod world;
