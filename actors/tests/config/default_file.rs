use toml::Table;
use trunkline::Config;

const DEFAULT: &str = include_str!("../../../config/default.toml");

#[test]
fn the_default_file_equals_the_defaults() {
    let layers = Config::layers().text("default.toml", DEFAULT).unwrap();
    assert_eq!(layers.build().unwrap(), Config::default());
}

#[test]
fn the_default_file_spells_out_every_key_under_a_comment() {
    let written: Table = DEFAULT.parse().unwrap();
    assert_eq!(written, Table::try_from(Config::default()).unwrap());

    let lines: Vec<&str> = DEFAULT.lines().collect();
    for pair in lines.windows(2) {
        if pair[1].contains(" = ") && !pair[1].starts_with('#') {
            assert!(pair[0].starts_with("# "), "{} has no comment", pair[1]);
        }
    }
}

#[test]
fn the_defaults_written_as_toml_are_read_back() {
    let mut config = Config::default();
    config.tree.salt = Some([0xa5; 32]);
    let text = config.to_toml().unwrap();
    let layers = Config::layers().text("written.toml", &text).unwrap();
    assert_eq!(layers.build().unwrap(), config);
}
