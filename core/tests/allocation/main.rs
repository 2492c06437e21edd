//! What decoding and verifying a proof may allocate: at most 128 bytes for each of its own, and 1 MiB.

#[path = "../support/counting.rs"]
mod counting;
#[path = "../support/protobuf.rs"]
mod protobuf;
#[path = "../support/proven.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod proven;

mod memory_is_linear_in_the_bytes_of_a_proof;

#[global_allocator]
static COUNTING: counting::Counting = counting::Counting;
