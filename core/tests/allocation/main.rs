//! The allocation bound on decoding and verifying a proof: at most 128 bytes for each of the proof's, and 1 MiB.

use trunkline_testkit::counting::Counting;

mod memory;

#[global_allocator]
static COUNTING: Counting = Counting;
