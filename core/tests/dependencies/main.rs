//! What the verifier alone pulls in: no actor, no runtime, no store, no threads, no std.

mod the_verifier_asks_nothing_of_the_machine;
mod the_verifier_pulls_in_no_runtime_store_or_std;
