//! Figures and verdicts of the bench `acceptance`, which compares the adaptive engine with static settings. Pure.
//!
//! This module is public for that bench and for tests alone. It may change in any release.

pub mod cap_at_rest;
pub mod criteria;
pub mod figures;
pub mod pairs;
