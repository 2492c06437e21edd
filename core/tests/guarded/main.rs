//! Nothing is read past the memory that it is in. Assembly is not checked by the compiler, and it hashes.

#![cfg(all(feature = "state", target_os = "linux"))]

use trunkline_testkit::guarded::Guarded;

mod reads;

#[global_allocator]
static GUARDED: Guarded = Guarded;
