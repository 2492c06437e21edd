//! Nothing is read outside its memory. Hashing uses assembly, which the compiler does not check.

#![cfg(all(feature = "state", target_os = "linux"))]

use trunkline_testkit::guarded::Guarded;

mod reads;

#[global_allocator]
static GUARDED: Guarded = Guarded;
