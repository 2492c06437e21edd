//! What decoding and verifying a proof may allocate: at most 128 bytes for each of its own, and 1 MiB.

use trunkline_testkit::counting::Counting;

mod memory;

#[global_allocator]
static COUNTING: Counting = Counting;
