//! The functions of the C interface, called correctly and incorrectly.

mod support;

mod arguments;
mod buffers;
mod c_program;
mod claims;
mod vectors;
