//! Tests of crashes: what was acknowledged is there afterwards, and damage is named. One file a topic.

mod bootstrap;
mod checkpoint;
mod creation;
mod damage;
mod directories;
mod killed;
mod missing;
mod power_loss;
mod read_only;
mod replaced;
mod rewind;
mod sigkill;
mod snapshot;
mod support;
