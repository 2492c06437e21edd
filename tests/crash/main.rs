//! Crashes of the whole engine: what was acknowledged is there afterwards, whatever happened, and
//! what is damaged is named. One behaviour a file.

mod directories;
mod killed;
mod support;

mod a_tree_whose_making_was_cut_off_opens;
mod acknowledged_submissions_survive_faults_and_power_loss;
mod checkpoints_that_broke_off_do_no_harm;
mod damage_is_named_and_nothing_is_changed;
mod durable_receipts_survive_sigkill;
mod reading_only_never_writes;
mod reads_see_their_version_while_checkpoints_pass;
