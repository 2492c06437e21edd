use std::path::Path;

use trunkline::Config;

fn error_of(text: &str) -> String {
    let error = match Config::layers().text("my.toml", text) {
        Err(error) => error,
        Ok(layers) => layers.build().unwrap_err(),
    };
    error.to_string()
}

#[track_caller]
fn assert_starts(message: &str, start: &str) {
    assert!(message.starts_with(start), "{message}");
}

#[test]
fn an_unknown_key_names_file_line_and_key() {
    let message = error_of("[engine]\nname = \"a\"\n\n[group]\n# why\nlinger = 5\n");
    assert_starts(
        &message,
        "my.toml:6: unknown key group.linger; the nearest is group.linger_ms; known",
    );
    assert!(message.contains("linger_ms"));
}

#[test]
fn an_unknown_section_names_file_line_and_section() {
    let message = error_of("[engine]\n[gruop]\nlinger_ms = 5\n");
    assert_starts(
        &message,
        "my.toml:2: unknown section gruop; the nearest is group; known",
    );
}

#[test]
fn a_key_outside_of_a_section_names_file_and_line() {
    let message = error_of("\nlinger_ms = 5\n");
    assert_starts(&message, "my.toml:2: linger_ms is not in a section");
}

#[test]
fn a_value_of_another_type_names_file_line_and_key() {
    let cases = [
        ("[group]\nlinger_ms = \"5\"", "my.toml:2: group.linger_ms: "),
        ("[group]\nlinger_ms = -1", "my.toml:2: group.linger_ms: "),
        ("[group]\n\nlinger_ms = 1.5", "my.toml:3: group.linger_ms: "),
        ("[group.linger_ms]\na = 1", "my.toml:1: group.linger_ms: "),
        ("[kzg]\nmode = \"lazy\"", "my.toml:2: kzg.mode: "),
        (
            "[tree]\nsalt = \"abc\"",
            "my.toml:2: tree.salt: a salt is 64",
        ),
        ("[store]\nkind = 5", "my.toml:2: store.kind: "),
    ];
    for (text, start) in cases {
        let message = error_of(text);
        assert_starts(&message, start);
        assert!(message.contains("; the default is "), "{message}");
    }
}

#[test]
fn a_value_out_of_range_names_file_line_key_and_range() {
    let message = error_of("[workers]\n\nhash_parallelism = 129\n");
    let expected = "my.toml:3: workers.hash_parallelism = 129: must be 1 to 128";
    assert_eq!(message, expected);
}

#[test]
fn a_text_that_is_not_toml_names_file_and_line() {
    assert_starts(&error_of("[engine]\nname =\n"), "my.toml:2: not TOML: ");
    let repeated = "[group]\nlinger_ms = 1\nlinger_ms = 2\n";
    assert_starts(&error_of(repeated), "my.toml:3: not TOML: ");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = Config::layers().file(Path::new("/nowhere/my.toml"));
    let message = error.unwrap_err().to_string();
    assert_eq!(message, "cannot read the configuration /nowhere/my.toml");
}

#[test]
fn a_variable_is_named() {
    let cases = [
        ("TRUNKLINE_GROUP_LINGER_MS", "fast"),
        ("TRUNKLINE_GROUP_LINGER", "5"),
        ("TRUNKLINE_GRUOP_LINGER_MS", "5"),
        ("TRUNKLINE_GROUP", "5"),
        ("TRUNKLINE_", "5"),
    ];
    for (name, value) in cases {
        let error = Config::layers().environment([(name, value)]).unwrap_err();
        let start = format!("environment variable {name}: ");
        assert_starts(&error.to_string(), &start);
    }
}

#[test]
fn the_nearest_setting_is_named_in_the_form_of_its_place() {
    let cases = [
        (
            "TRUNKLINE_GROUP_LINGER",
            "unknown key group.linger; the nearest is TRUNKLINE_GROUP_LINGER_MS;",
        ),
        (
            "TRUNKLINE_GRUOP_LINGER_MS",
            "unknown section gruop; the nearest is TRUNKLINE_GROUP_LINGER_MS;",
        ),
        (
            "TRUNKLINE_ENGINE",
            "unknown key engine.; the nearest is TRUNKLINE_ENGINE_NAME;",
        ),
        (
            "TRUNKLINE_group_linger_ms",
            "not a setting, whose names are TRUNKLINE_<SECTION>_<KEY> in capital letters; the nearest is TRUNKLINE_GROUP_LINGER_MS;",
        ),
    ];
    for (name, says) in cases {
        let error = Config::layers().environment([(name, "5")]).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
    let error = Config::layers().set("group.linger=5").unwrap_err();
    let says = "unknown key group.linger; the nearest is group.linger_ms;";
    assert!(error.to_string().contains(says), "{error}");
    let message = error_of("[grup]\nlinger_ms = 1\n");
    assert!(
        message.contains("unknown section grup; the nearest is group;"),
        "{message}"
    );
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf_8_is_named() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    let name = OsString::from_vec(b"TRUNKLINE_GROUP_LINGER_M\xff".to_vec());
    let error = Config::layers().environment([(name, "5")]).unwrap_err();
    let says = "not a setting";
    assert!(error.to_string().contains(says), "{error}");
    assert!(
        error.to_string().contains("TRUNKLINE_GROUP_LINGER_MS"),
        "{error}"
    );
}

#[test]
fn what_kubernetes_sets_is_ignored_and_listed() {
    let names = ["TRUNKLINE_SERVICE_HOST", "TRUNKLINE_PORT_80_TCP_ADDR"];
    let layers = Config::layers().environment(names.map(|name| (name, "tcp://10.0.0.7:80")));
    let layers = layers.unwrap();
    assert_eq!(layers.ignored_variables(), names);
    assert_eq!(layers.build().unwrap(), Config::default());
    let foreign = Config::layers().environment([("TRUNKLINE_PORT_80", "x")]);
    let error = foreign.unwrap_err().to_string();
    assert!(
        error.contains("TRUNKLINE_PORT_80: unknown section port"),
        "{error}"
    );
}

#[test]
fn a_flag_is_named() {
    let cases = [
        ("group.linger_ms", "flag group.linger_ms: must look like"),
        ("linger_ms=5", "flag linger_ms=5: must look like"),
        (
            "group.linger=5",
            "flag group.linger=5: unknown key group.linger;",
        ),
        (
            "group.linger_ms=x",
            "flag group.linger_ms=x: group.linger_ms: ",
        ),
    ];
    for (flag, start) in cases {
        assert_starts(&Config::layers().set(flag).unwrap_err().to_string(), start);
    }
    let layers = Config::layers().set("workers.hash_parallelism=0").unwrap();
    let start = "flag workers.hash_parallelism=0: workers.hash_parallelism = 0: must be 1 to 128";
    assert_eq!(layers.build().unwrap_err().to_string(), start);
}
