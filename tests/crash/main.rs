//! Tests of crashes: acknowledged data survives, and damage is named. One file per topic.

mod bootstrap;
mod check;
mod checkpoint;
mod creation;
mod damage;
mod directories;
mod faults;
mod following;
mod fork;
mod killed;
mod missing;
mod open_at;
mod pages;
mod power_loss;
mod read_only;
mod repair;
mod replaced;
mod revert;
mod rewind;
mod sigkill;
mod snapshot;
mod support;
