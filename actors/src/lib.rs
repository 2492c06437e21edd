//! The pipeline of trunkline: five stages that run as actors, the state that readers see, and adaptive control.
//!
//! Programs embed the crate `trunkline`, which opens a directory, starts this pipeline and returns a handle. Recovery
//! and the handle are not here.
//!
//! Folders and files, from low to high; imports go down only (`tests/layout` of the workspace checks it):
//!
//! | place | for |
//! | --- | --- |
//! | `runtime` | clock, threads, waiting and pools, which a simulation replaces |
//! | `actor` | one thread and one mailbox for each stage; the only file that imports actix |
//! | `failure` | the first failure, which every waiter learns of |
//! | `config` | sections, layers and origin of settings; the settings in force |
//! | `decisions` | windows of measurements and decisions, as data |
//! | `metrics` | the metrics of the engine |
//! | `state` | the state that readers see |
//! | `receipt`, `idempotency`, `message`, `intake`, `in_flight`, `admission` | the data that travels through the pipeline |
//! | `adaptive` | pure controllers, and the thread that runs them |
//! | `feed` | the state that followers of the log share with the engine |
//! | `background`, `checkpoint` | work off the commit path |
//! | `stage` | the five stages |
//! | `pipeline` | wiring: builds, starts and joins all of it |

#![forbid(unsafe_code)]

pub mod actor;
pub mod adaptive;
pub mod admission;
pub mod background;
pub mod checkpoint;
pub mod config;
pub mod context;
pub mod decisions;
pub mod failure;
pub mod feed;
pub mod forks;
pub mod health;
pub mod idempotency;
pub mod in_flight;
pub mod intake;
pub mod message;
pub mod metrics;
pub mod pipeline;
pub mod receipt;
pub mod restoring;
pub mod runtime;
pub mod stage;
pub mod state;
pub mod testing;
