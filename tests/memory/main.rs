//! The engine's count of its memory, compared with that of its allocator.
//!
//! A binary of its own: the allocator counts for the whole process, so one test runs at a time.

use trunkline_testkit::counting::Counting;

mod accounting;

#[global_allocator]
static COUNTING: Counting = Counting;
