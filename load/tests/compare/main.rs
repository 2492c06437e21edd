//! How runs are compared, on runs that are made up, with noise that remembers.

mod a_record_is_read_as_it_was_written;
mod changes_are_found_and_noise_is_not;
mod synthetic;
mod what_cannot_be_compared_says_why;
