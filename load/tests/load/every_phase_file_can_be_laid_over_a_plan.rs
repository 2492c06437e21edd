use std::ffi::OsStr;
use std::path::Path;

use trunkline_load::{Phases, Plan};

#[test]
fn every_one_changes_the_default_plan_and_leaves_it_valid() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plans");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name() == Some(OsStr::new("default.toml")) {
            continue;
        }
        let phases = Phases::from_file(&path).unwrap();
        let plan = Plan {
            shape: phases.shape,
            phase: phases.phase,
            ..Plan::default()
        };
        assert_eq!(plan.validate(), Ok(()), "{}", path.display());
        assert_ne!(plan, Plan::default(), "{}", path.display());
        names.push(path.file_stem().unwrap().to_owned());
    }
    names.sort();
    let known = [
        "bursts",
        "day",
        "rate-doubles",
        "rate-halves",
        "skew-shifts",
    ];
    assert_eq!(names, known);
}
