//! Absurd numbers and foreign variables: each is refused by name, before anything is begun.

use crate::support::{Ran, Workplace, command, run};

const ABSURD: [&str; 9] = [
    "nan",
    "inf",
    "-inf",
    "-1",
    "1e999",
    "99999999999999999999999999",
    "0x10",
    "",
    "1_000",
];

fn flags() -> Vec<(
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
)> {
    // The flag itself also refuses some values.
    vec![
        (
            "load",
            &[
                "--keys",
                "--batch",
                "--readers",
                "--concurrency",
                "--in-flight-max",
            ],
            &["0", "18446744073709551615", "1.5"],
        ),
        (
            "load",
            &["--value-bytes", "--seed", "--batch-linger-us", "--ops"],
            &["18446744073709551615", "1.5"],
        ),
        ("load", &["--proofs"], &["18446744073709551615", "1000001"]),
        ("load", &["--rate"], &["0", "-0.0", "1e300", "1e-300"]),
        ("load", &["--rate-share"], &["0", "1.1", "1e300"]),
        ("load", &["--duration"], &["0", "1e-9", "1e300"]),
        ("load", &["--warmup"], &["1e300"]),
        ("sweep", &["--target-p99-ms"], &["0", "1e300"]),
        ("sweep", &["--rounds"], &["0", "256"]),
        ("sweep", &["--shares"], &["0", "101"]),
        ("tune", &["--target-p99-ms"], &["0", "1e300"]),
        ("tune", &["--rounds"], &["0", "256"]),
        (
            "import nowhere --dir nowhere",
            &["--batch", "--in-flight"],
            &["0", "18446744073709551615"],
        ),
        ("compare a b", &["--fail-on", "--negligible"], &[]),
        ("compare a b", &["--resamples"], &["0", "4294967295"]),
        (
            "prove --dir nowhere --out nowhere --key a",
            &["--value-bytes-max"],
            &["1.5"],
        ),
    ]
}

#[test]
fn absurd_numbers_are_refused() {
    let workplace = Workplace::new();
    let refused = |words: &str, flag: &str, number: &str| {
        let output = command()
            .args(words.split(' '))
            .arg(format!("{flag}={number}"))
            .current_dir(workplace.path(""))
            .output();
        let ran = Ran::from(output.unwrap());
        assert_eq!(ran.code, 2, "{words} {flag} {number}: {ran:?}");
        // A plan's errors name its key.
        let name = flag.trim_start_matches('-').replace('-', "_");
        let name = name.replace("flight_max", "flight_operations_max");
        let is_named = ran.stderr.contains(flag) || ran.stderr.contains(&*name);
        assert!(
            is_named && ran.stdout.is_empty(),
            "{words} {flag} {number}: {ran:?}"
        );
    };
    for (words, names, more) in flags() {
        for name in names {
            for number in ABSURD.iter().chain(more) {
                refused(words, name, number);
            }
        }
    }
    assert_eq!(std::fs::read_dir(workplace.path("")).unwrap().count(), 0);
}

#[test]
fn absurd_settings_are_refused() {
    let text = run(["config", "show"]).done().stdout;
    let mut section = "";
    let mut count = 0;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        }
        let number = line.split_once(" = ");
        let Some((key, _)) = number.filter(|(_, value)| value.parse::<u64>().is_ok()) else {
            continue;
        };
        for number in [
            "nan",
            "inf",
            "-1",
            "1e300",
            "1.5",
            "99999999999999999999",
            "9223372036854775807",
            "\"1\"",
        ] {
            let set = format!("{section}.{key}={number}");
            run(["config", "check", "--set", &set]).unusable(&format!("{section}.{key}"));
        }
        count += 1;
    }
    assert!(count > 20);
}

#[test]
fn variables_with_our_prefix_are_settings_or_refused_or_those_of_kubernetes() {
    let with = |name: &str, value: &str| -> Ran {
        let mut command = command();
        command.args(["config", "check"]).env(name, value);
        command.output().unwrap().into()
    };
    with("TRUNKLINE_HOME", "/opt")
        .unusable("TRUNKLINE_HOME: unknown section home; the nearest is TRUNKLINE_");
    with("TRUNKLINE_GROUP_LINGER", "1").unusable("the nearest is TRUNKLINE_GROUP_LINGER_MS");
    with("TRUNKLINE_group_linger_ms", "1").unusable("in capital letters");
    let ran = with("TRUNKLINE_SERVICE_PORT_HTTP", "80").done();
    let says = "warning: the environment variable TRUNKLINE_SERVICE_PORT_HTTP is ignored, because Kubernetes";
    assert!(ran.stderr.starts_with(says), "{ran:?}");
}
