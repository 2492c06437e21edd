//! The functions that C calls, called as C may call them: rightly and wrongly.

mod support;

mod arguments;
mod buffers;
mod c_program;
mod claims;
mod vectors;
