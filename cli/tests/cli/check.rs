use std::fs;
use std::path::Path;

use trunkline::{Config, Engine};

use crate::support::{Ran, Workplace, contents, run};

fn flip(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[offset] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn check(directory: &str, more: &[&str]) -> Ran {
    run(["check", "--dir", directory].iter().chain(more))
}

#[test]
fn a_sound_directory_is_told_with_the_version_that_was_verified() {
    let workplace = Workplace::with_three_keys();
    let directory = workplace.text("state");
    let before = contents(&workplace.path("state"));
    let id = hex::encode(workplace.root().commit_id);
    let text = check(&directory, &[]).done().stdout;
    let verified = format!("state verified up to version 1, commit id {id}\nsound\n");
    assert!(text.ends_with(&verified), "{text}");
    let json = check(&directory, &["--json"]).done().json();
    assert_eq!(json["sound"], true);
    assert_eq!(json["verified"]["commit_id"], id);
    assert_eq!(json["findings"].as_array().unwrap().len(), 0);
    assert_eq!(contents(&workplace.path("state")), before);
    // The other name of the flag.
    run(["check", "--directory", &directory]).done();
}

#[test]
fn damage_is_named_with_its_place_and_what_to_do() {
    let workplace = Workplace::with_three_keys();
    let (state, directory) = (workplace.path("state"), workplace.text("state"));
    fs::write(state.join("KZG-TABLES"), "?").unwrap();
    let log = state.join("log");
    let segment = fs::read_dir(&log)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|end| end == "seg"))
        .unwrap();
    flip(&segment, 300);
    let before = contents(&state);
    let ran = check(&directory, &[]);
    assert_eq!((ran.code, &*ran.stderr), (1, ""));
    let place = format!("log: {}, offset 154, ", segment.display());
    assert!(ran.stdout.starts_with(&place), "{ran:?}");
    for said in [
        "expected  the frame of version 1\n",
        "found     the checksum is wrong\n",
        "affects   ",
        "to do     restore the file from a copy",
        "it can be repaired: computed again: they are a constant\n",
        "not checked: the states of versions ",
    ] {
        assert!(ran.stdout.contains(said), "{said}: {ran:?}");
    }
    assert!(ran.stdout.ends_with("\ndamaged\n"));
    let json = check(&directory, &["--json"]);
    assert_eq!(json.code, 1);
    let json = json.json();
    let [log, tables] = &json["findings"].as_array().unwrap()[..] else {
        panic!("{json}");
    };
    assert_eq!((&log["part"], &log["offset"]), (&"log".into(), &154.into()));
    assert_eq!(log["repairable"], false);
    assert_eq!(tables["repairable"], true);
    assert_eq!(contents(&state), before);

    let repaired = check(&directory, &["--repair", "--json"]);
    assert_eq!(repaired.code, 1, "the log stays damaged");
    let json = repaired.json();
    assert_eq!(json["repaired"].as_array().unwrap().len(), 1);
    assert_eq!(json["after"]["findings"].as_array().unwrap().len(), 1);
}

#[test]
fn a_repair_tells_what_it_did_and_leaves_the_state_as_it_was() {
    let workplace = Workplace::with_three_keys();
    let (state, directory) = (workplace.path("state"), workplace.text("state"));
    let root = workplace.root();
    let named = state.join("log/LAST-SEGMENT");
    flip(&named, 55);
    fs::write(state.join("CHECKPOINT.tmp"), "").unwrap();
    let ran = check(&directory, &["--repair"]).done();
    let kept = format!("what was there is in {}-DAMAGED-1\n", named.display());
    assert!(ran.stdout.contains(&kept), "{ran:?}");
    assert!(ran.stdout.contains("CHECKPOINT.tmp: removed\n"));
    assert!(ran.stdout.ends_with("\nsound\n"));
    assert_eq!(workplace.root(), root);
    check(&directory, &[]).done();
    let nothing = check(&directory, &["--repair"]).done().stdout;
    assert!(!nothing.contains("repaired"));

    fs::remove_file(&named).unwrap();
    assert_eq!(check(&directory, &["--repair"]).code, 1);
    let id = hex::encode(root.commit_id);
    check(&directory, &["--repair", "--last-commit-id", &id]).done();
    assert_eq!(workplace.root(), root);
}

#[test]
fn a_directory_that_cannot_be_looked_at_is_no_finding() {
    let workplace = Workplace::with_three_keys();
    check(&workplace.text("nowhere"), &[]).unusable("nowhere");
    fs::create_dir(workplace.path("empty")).unwrap();
    check(&workplace.text("empty"), &[]).unusable("holds no trunkline tree");
    check(&workplace.text("empty"), &["--repair"]).unusable("holds no trunkline tree");
    assert_eq!(contents(&workplace.path("empty")).len(), 0);
    let engine = Engine::open_blocking(Config::in_directory(workplace.path("state"))).unwrap();
    let directory = workplace.text("state");
    for more in [&[][..], &["--repair"]] {
        check(&directory, more).unusable("has the tree open; close it first");
    }
    engine.shutdown_blocking().unwrap();
    check(&directory, &["--last-commit-id", &"ab".repeat(32)]);
}
