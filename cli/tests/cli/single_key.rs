use crate::support::{Workplace, run, run_with_input};

#[test]
fn a_value_is_there_until_it_is_deleted() {
    let workplace = Workplace::new();
    let directory = workplace.text("state");
    let put = run(["put", "alice", "10", "--dir", &directory]).done();
    assert!(put.stdout.starts_with("durable (sync) in version 1\n"));
    assert_eq!(
        run(["get", "alice", "--dir", &directory]).done().stdout,
        "10"
    );
    assert_eq!(
        run(["get", "0x616c696365", "--hex", "--dir", &directory])
            .done()
            .stdout,
        "3130\n"
    );

    run(["delete", "alice", "--dir", &directory]).done();
    let absent = run(["get", "alice", "--dir", &directory]);
    assert_eq!((absent.code, &*absent.stdout), (1, ""));
    assert!(absent.stderr.contains("\"alice\" is absent at version 2"));
}

#[test]
fn a_value_comes_as_text_as_hex_or_from_standard_input() {
    let workplace = Workplace::new();
    let directory = workplace.text("state");
    run(["put", "a", "0x00ff", "--dir", &directory]).done();
    assert_eq!(
        run(["get", "a", "--hex", "--dir", &directory])
            .done()
            .stdout,
        "00ff\n"
    );
    run_with_input(["put", "a", "-", "--dir", &directory], b"from\nstdin").done();
    assert_eq!(
        run(["get", "a", "--dir", &directory]).done().stdout,
        "from\nstdin"
    );
}

#[test]
fn input_beyond_the_limits_is_refused_before_anything_is_made() {
    let workplace = Workplace::new();
    let directory = workplace.text("state");
    assert_eq!(run(["put", "", "v", "--dir", &directory]).code, 2);
    assert_eq!(
        run(["put", &"k".repeat(4097), "v", "--dir", &directory]).code,
        2
    );
    run(["put", "k", "0xzz", "--dir", &directory]).unusable("hexadecimal");
    let long = vec![0; 16 * 1024 * 1024 + 1];
    run_with_input(["put", "k", "-", "--dir", &directory], &long).unusable("longer than 16777216");
    assert!(!workplace.path("state").exists());
}

#[test]
fn a_tree_keeps_its_policy() {
    let workplace = Workplace::with_three_keys();
    let directory = workplace.text("state");
    let put = ["put", "k", "v", "--dir", &directory, "--set"];
    run(put.into_iter().chain(["tree.collision=reject"])).unusable("collision policy");
    let salt = format!("tree.salt={}", "12".repeat(32));
    run(put.into_iter().chain([&*salt])).unusable("another salt");
    assert_eq!(run(["get", "k", "--dir", &directory]).code, 1);
}
