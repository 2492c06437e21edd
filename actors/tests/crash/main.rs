//! Crashes of the whole engine: what was acknowledged is there afterwards, whatever happened, and
//! what is damaged is named. One behaviour a file.

#[path = "../../../tests/support/naive.rs"]
mod naive;
mod support;

mod acknowledged_submissions_survive_faults_and_power_loss;
mod reads_see_their_version_while_checkpoints_pass;
