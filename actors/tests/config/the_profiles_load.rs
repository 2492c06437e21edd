use std::path::Path;

use trunkline::Config;

#[test]
fn every_profile_loads_and_changes_something() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
    for profile in ["read-heavy", "write-heavy", "mixed", "low-latency"] {
        let path = directory.join(profile).with_extension("toml");
        let config = Config::layers().file(&path).unwrap().build().unwrap();
        assert_ne!(config, Config::default(), "{profile}");
    }
}
