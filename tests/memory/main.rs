//! What the engine says of its memory, compared with what its allocator has given.
//!
//! A binary of its own: the allocator counts for the whole process, so one test runs at a time.

use trunkline_testkit::counting::Counting;

mod accounting;

#[global_allocator]
static COUNTING: Counting = Counting;
