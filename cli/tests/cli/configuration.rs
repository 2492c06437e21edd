use crate::support::{Workplace, command, run};

#[test]
fn a_file_with_a_mistake_names_file_line_and_key() {
    let workplace = Workplace::new();
    let file = workplace.text("my.toml");
    std::fs::write(&file, "[group]\nlinger_ms = 1\nlinger = 2\n").unwrap();
    let place = format!("{file}:3: unknown key group.linger");
    for command in [["config", "check"], ["config", "show"]] {
        run(command.into_iter().chain(["--config", &file])).unusable(&place);
    }
    let directory = workplace.text("state");
    run(["put", "a", "b", "--dir", &directory, "--config", &file]).unusable(&place);
    assert!(!workplace.path("state").exists());
}

#[test]
fn flags_override_the_environment_and_it_the_file() {
    let workplace = Workplace::new();
    let file = workplace.text("my.toml");
    std::fs::write(
        &file,
        "[group]\nlinger_ms = 1\noperations_max = 1\nbytes_max = 1\n",
    )
    .unwrap();
    let output = command()
        .args([
            "config",
            "show",
            "--config",
            &file,
            "--set",
            "group.linger_ms=3",
        ])
        .env("TRUNKLINE_GROUP_LINGER_MS", "2")
        .env("TRUNKLINE_GROUP_OPERATIONS_MAX", "2")
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    let expected = [
        format!("# {file}:4\nbytes_max = 1\n"),
        "# flag group.linger_ms=3\nlinger_ms = 3\n".to_owned(),
        "# environment variable TRUNKLINE_GROUP_OPERATIONS_MAX\noperations_max = 2\n".to_owned(),
    ];
    for part in expected {
        assert!(shown.contains(&part), "{shown}");
    }
}

#[test]
fn every_setting_can_be_shown_with_where_it_came_from() {
    let workplace = Workplace::new();
    let file = workplace.text("my.toml");
    std::fs::write(&file, "[group]\nbytes_max = 1\nlinger_ms = 1\n").unwrap();
    let show = ["config", "show", "--origin", "--config", &file];
    let output = command()
        .args(show)
        .args(["--set", "group.linger_ms=3"])
        .env("TRUNKLINE_GROUP_OPERATIONS_MAX", "2")
        .output()
        .unwrap();
    let ran = crate::support::Ran::from(output).done();
    let expected = [
        "# default; static\nsegment_bytes_max = ".to_owned(),
        format!("# {file}:2; reloadable\nbytes_max = 1\n"),
        "# environment variable TRUNKLINE_GROUP_OPERATIONS_MAX; reloadable\noperations_max = 2\n"
            .to_owned(),
        "# flag group.linger_ms=3; reloadable\nlinger_ms = 3\n".to_owned(),
    ];
    for part in expected {
        assert!(ran.stdout.contains(&part), "{ran:?}");
    }
    let settings = ran.stdout.lines().filter(|line| line.contains(" = "));
    let origins = ran
        .stdout
        .lines()
        .filter(|line| line.ends_with("; static") || line.ends_with("; reloadable"));
    assert_eq!(settings.count(), origins.count());
}

#[test]
fn a_variable_or_flag_with_a_mistake_is_named() {
    run(["config", "check"]).done();
    run(["config", "check", "--set", "group.linger_ms=x"]).unusable("flag group.linger_ms=x: ");
    let output = command()
        .args(["config", "check"])
        .env("TRUNKLINE_WORKERS_HASH_PARALLELISM", "0")
        .output()
        .unwrap();
    let ran = crate::support::Ran::from(output);
    ran.unusable("environment variable TRUNKLINE_WORKERS_HASH_PARALLELISM: workers.hash_parallelism = 0: must be 1 to 128");
}
