//! Configuration: layers and their errors, the files in `config/`, and the tuning guide.

mod default_file;
mod errors;
mod layers;
mod profiles;
mod tuning_guide;
mod validation;
