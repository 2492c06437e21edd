//! The command as a user runs it, with one file per topic.

mod markup;
mod support;
mod synthetic;
#[cfg(unix)]
mod terminal;

mod arguments;
mod audit;
mod backup;
mod check;
mod ci_example;
mod compare;
mod configuration;
mod directories;
mod encodings;
mod evidence;
mod export;
mod history;
mod import;
#[cfg(unix)]
mod import_streams;
mod inspect;
#[cfg(unix)]
mod live_view;
mod load;
mod load_runs;
mod markdown;
#[cfg(unix)]
mod member;
mod merge;
mod metrics_file;
#[cfg(unix)]
mod outputs;
mod paths;
mod proof_show;
mod prove;
mod range;
mod report;
mod revert;
#[cfg(unix)]
mod serve;
#[cfg(unix)]
mod service;
#[cfg(unix)]
mod service_target;
#[cfg(unix)]
mod signals;
mod single_key;
mod sweep_and_tune;
#[cfg(unix)]
mod text_of_others;
mod thresholds;
mod vectors;
mod verify;
mod versions;
