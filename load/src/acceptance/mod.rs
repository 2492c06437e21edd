//! Figures and verdicts of the bench `acceptance`, which compares the adaptive engine with static settings. Pure.

pub mod cap_at_rest;
pub mod criteria;
pub mod figures;
pub mod pairs;
