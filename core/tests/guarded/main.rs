//! Nothing is read past the memory that it is in. Assembly is not checked by the compiler, and it hashes.

#![cfg(all(feature = "state", target_os = "linux"))]

#[allow(
    dead_code,
    reason = "the states and keys of the proof tests; some serve here"
)]
#[path = "../proof/fixture.rs"]
mod fixture;
#[path = "../support/guarded.rs"]
mod guarded;
#[path = "../support/naive.rs"]
mod naive;
#[path = "../support/naive_kzg.rs"]
mod naive_kzg;
#[allow(dead_code, reason = "shared with other tests")]
#[path = "../support/proven.rs"]
mod proven;
#[allow(dead_code, reason = "shared with the tests of the tree")]
#[path = "../tree/support.rs"]
mod support;

mod nothing_is_read_past_its_memory;

#[global_allocator]
static GUARDED: guarded::Guarded = guarded::Guarded;
