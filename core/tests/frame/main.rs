//! Signed frames and beginnings, checked against a naive model that shares no code with the crate but the library that
//! signs. RFC 8032's own examples are in `keys`.

#![cfg(feature = "state")]

mod model;
mod vectors;

mod bounds;
mod changed_bytes;
mod keys;
mod memory;
mod round_trip;
mod specification_example;
mod vector_answers;
mod vector_coverage;
mod vector_files;
mod wire_form;

use trunkline_testkit::counting::Counting;

#[global_allocator]
static COUNTING: Counting = Counting;
