use trunkline::Config;
use trunkline_actors::config::{KzgMode, Origin};
use trunkline_core::params::CollisionPolicy;

const FILE: &str = "\
[group]
linger_ms = 1
operations_max = 11
in_flight_max = 12
";

#[test]
fn a_file_overrides_defaults_the_environment_a_file_and_flags_all() {
    let environment = [
        ("TRUNKLINE_GROUP_LINGER_MS", "2"),
        ("TRUNKLINE_GROUP_OPERATIONS_MAX", "22"),
        ("PATH", "/bin"),
    ];
    let layers = Config::layers()
        .text("some.toml", FILE)
        .unwrap()
        .environment(environment)
        .unwrap()
        .set("group.linger_ms=3")
        .unwrap();
    let config = layers.build().unwrap();
    assert_eq!(config.group.linger_ms, 3);
    assert_eq!(config.group.operations_max, 22);
    assert_eq!(config.group.in_flight_max, 12);
    assert_eq!(config.group.bytes_max, Config::default().group.bytes_max);

    assert_eq!(layers.origin("group", "bytes_max"), Origin::Default);
    let place = layers.origin("group", "in_flight_max").to_string();
    assert_eq!(place, "some.toml:4");
    let place = layers.origin("group", "operations_max").to_string();
    assert_eq!(place, "environment variable TRUNKLINE_GROUP_OPERATIONS_MAX");
    let place = layers.origin("group", "linger_ms").to_string();
    assert_eq!(place, "flag group.linger_ms=3");
}

#[test]
fn texts_need_no_quotes_outside_of_files() {
    let salt = "12".repeat(32);
    let config = Config::layers()
        .environment([
            ("TRUNKLINE_ENGINE_NAME", "7"),
            ("TRUNKLINE_TREE_SALT", &salt),
        ])
        .unwrap()
        .set("kzg.mode = on_demand")
        .unwrap()
        .set("tree.collision=\"reject\"")
        .unwrap()
        .set("engine.directory=/tmp/a b=c")
        .unwrap()
        .build()
        .unwrap();
    assert_eq!(config.engine.name, "7");
    assert_eq!(config.engine.directory.to_str(), Some("/tmp/a b=c"));
    assert_eq!(config.tree.salt, Some([0x12; 32]));
    assert_eq!(config.tree.collision, CollisionPolicy::Reject);
    assert_eq!(config.kzg.mode, KzgMode::OnDemand);
}

#[test]
fn every_way_to_write_a_section_is_read() {
    let texts = [
        "[group]\nlinger_ms = 9",
        "group.linger_ms = 9",
        "group = { linger_ms = 9 }",
    ];
    for text in texts {
        let layers = Config::layers().text("some.toml", text).unwrap();
        assert_eq!(layers.build().unwrap().group.linger_ms, 9);
    }
}
