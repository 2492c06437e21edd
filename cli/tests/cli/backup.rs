//! Backing up, listing, verifying, pruning and restoring from the command line.

use trunkline::core::frame::SecretKey;

use crate::support::{Ran, Workplace, contents, run};

/// Makes a directory `state` with three keys, and returns the path of its archive.
fn workplace() -> (Workplace, String, String) {
    let workplace = Workplace::with_three_keys();
    let (state, archive) = (workplace.text("state"), workplace.text("archive"));
    (workplace, state, archive)
}

fn back_up(state: &str, archive: &str, more: &[&str]) -> Ran {
    let arguments = ["backup", "--dir", state, "--to", archive];
    run(arguments.iter().chain(more))
}

fn put(state: &str, key: &str) {
    run(["put", key, "1", "--dir", state]).done();
}

#[test]
fn a_state_is_backed_up_step_by_step_and_each_version_restored() {
    let (workplace, state, archive) = workplace();
    let before = contents(&workplace.path("state"));
    let first = back_up(&state, &archive, &[]).done().stdout;
    assert!(
        first.contains("base of version 1 made: the archive has no base yet"),
        "{first}"
    );
    assert_eq!(contents(&workplace.path("state")), before);
    put(&state, "dave");
    let second = back_up(&state, &archive, &[]).done().stdout;
    assert!(
        second.starts_with("1 version archived in segments\nthe archive ends at version 2"),
        "{second}"
    );
    let commit_id = hex::encode(workplace.root().commit_id);
    assert!(second.contains(&commit_id), "{second}");
    let third = back_up(&state, &archive, &["--json"]).done().json();
    assert_eq!(
        (&third["versions"], &third["base"]),
        (&0.into(), &serde_json::Value::Null)
    );

    let restored = workplace.text("restored");
    let arguments = ["restore", "--from", &archive, "--dir", &restored, "--json"];
    let last = run(arguments).done().json();
    assert_eq!(
        (&last["version"], &last["result"]),
        (&2.into(), &"consistent".into())
    );
    assert_eq!(last["commit_id"], commit_id);
    assert_eq!(run(["get", "dave", "--dir", &restored]).done().stdout, "1");
    run(arguments).unusable("is not empty; restore into another one");

    let older = workplace.text("older");
    let text = run([
        "restore",
        "--from",
        &archive,
        "--dir",
        &older,
        "--version",
        "1",
    ])
    .done()
    .stdout;
    assert!(
        text.contains("nothing shows who wrote it") && text.contains("Promote it to write"),
        "{text}"
    );
    assert_eq!(run(["get", "dave", "--dir", &older]).code, 1);
    run(["put", "x", "y", "--dir", &older]).unusable("is that of a replica");
    let after = [
        "restore",
        "--from",
        &archive,
        "--dir",
        "nowhere",
        "--version",
        "3",
    ];
    run(after)
        .unusable("the archive ends at version 2, before version 3; ask for a version up to 2");
}

#[test]
fn verifying_says_no_more_than_was_shown() {
    let (workplace, state, archive) = workplace();
    let key = SecretKey::generate([7; 32]);
    std::fs::write(workplace.path("key"), key.to_text()).unwrap();
    let key_file = workplace.text("key");
    back_up(&state, &archive, &["--key", &key_file]).done();
    put(&state, "dave");
    back_up(&state, &archive, &["--key", &key_file]).done();
    let verify = |more: &[&str]| {
        let arguments = ["backup", "verify", "--json", "--from", &archive];
        run(arguments.iter().chain(more))
    };
    let result = |ran: &Ran| (ran.code, ran.json()["result"].as_str().unwrap().to_owned());
    assert_eq!(result(&verify(&[])), (3, "consistent".to_owned()));
    assert_eq!(
        result(&verify(&["--objects-only"])),
        (0, "objects unchanged".to_owned())
    );
    let public = key.public().to_string();
    assert_eq!(
        result(&verify(&["--public-key", &public])),
        (0, "authentic".to_owned())
    );
    let other = SecretKey::generate([8; 32]).public().to_string();
    assert_eq!(
        result(&verify(&["--public-key", &other])),
        (1, "damaged".to_owned())
    );
    let commit_id = hex::encode(workplace.root().commit_id);
    assert_eq!(
        result(&verify(&["--commit-id", &commit_id])),
        (0, "authentic".to_owned())
    );
    assert_eq!(
        result(&verify(&["--commit-id", &"00".repeat(32)])),
        (1, "damaged".to_owned())
    );

    let segments: Vec<_> = std::fs::read_dir(workplace.path("archive/segments"))
        .unwrap()
        .collect();
    let segment = segments[0].as_ref().unwrap().path();
    std::fs::write(&segment, "something else").unwrap();
    let damaged = verify(&[]);
    assert_eq!(result(&damaged), (1, "damaged".to_owned()));
    let object = damaged.json()["damaged"][0]["object"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(segment.ends_with(&object), "{object}");
    let text = run(["backup", "verify", "--from", &archive]);
    assert!(
        text.stdout.starts_with("DAMAGED\n") && text.stdout.contains(&object),
        "{text:?}"
    );
}

#[test]
fn pruning_keeps_what_it_is_told_to() {
    let (_workplace, state, archive) = workplace();
    for key in ["a", "b", "c"] {
        put(&state, key);
        back_up(&state, &archive, &["--base"]).done();
    }
    let prune = |more: &[&str]| run(["backup", "prune", "--from", &archive].iter().chain(more));
    assert!(prune(&[]).code == 2, "what to keep has to be said");
    let dry = prune(&["--keep-bases", "2", "--dry-run"]).done().stdout;
    assert!(
        dry.starts_with("would remove 1 base, 0 unfinished bases and 0 segments"),
        "{dry}"
    );
    assert_eq!(
        prune(&["--keep-days", "1"]).done().stdout,
        "nothing to remove\n"
    );
    prune(&["--keep-bases", "1"]).done();
    let listed = run(["backup", "list", "--from", &archive, "--json"])
        .done()
        .json();
    assert_eq!(
        (
            listed["bases"].as_array().unwrap().len(),
            &listed["last_version"]
        ),
        (1, &4.into())
    );
    let text = run(["backup", "list", "--from", &archive]).done().stdout;
    assert!(text.contains("last version    4"), "{text}");
}

#[test]
fn locations_and_keys_that_cannot_be_used_are_refused_without_being_repeated() {
    let (workplace, state, archive) = workplace();
    let secret = back_up(&state, "s3://id:topsecret@bucket/x", &[]);
    assert!(!format!("{secret:?}").contains("topsecret"));
    secret.unusable("give credentials and options in environment variables");
    std::fs::write(workplace.path("key"), "topsecret").unwrap();
    let key = back_up(&state, &archive, &["--key", &workplace.text("key")]);
    assert!(!format!("{key:?}").contains("topsecret"));
    key.unusable("is not a file of a secret key");
    back_up(&workplace.text("nothing"), &archive, &[]).unusable("cannot open");
    assert!(run(["backup"]).stderr.contains("--dir <DIR>"));
    run(["backup", "list", "--from", &archive]).unusable("no object tree");
    let other = Workplace::with_three_keys();
    back_up(&state, &archive, &[]).done();
    back_up(&other.text("state"), &archive, &[]).unusable("use another prefix");
}
