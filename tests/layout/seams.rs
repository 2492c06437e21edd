//! actix, the clock, threads, waiting, pools and random bytes are named in one place each.

use crate::sources::sources;

/// A word, the crates in which it is looked for, and the files that may have it.
const SEAMS: [(&str, &[&str]); 13] = [
    ("actix::", &["actors/src/actor.rs"]),
    ("Instant::now", &["actors/src/runtime/clock.rs"]),
    ("SystemTime::now", &["actors/src/runtime/clock.rs"]),
    (".elapsed()", &[]),
    ("thread::spawn(move", &[]),
    ("thread::Builder", &["actors/src/runtime/thread.rs"]),
    ("Condvar", &["actors/src/runtime/wait.rs"]),
    ("pollster::", &["actors/src/runtime/wait.rs"]),
    ("ThreadPoolBuilder", &["actors/src/runtime/pool.rs"]),
    ("rand::", &["actors/src/runtime/entropy.rs"]),
    ("thread::scope", &[]),
    (
        ".recv()",
        // A thread of actix tells the one that started it that it runs.
        &["actors/src/runtime/wait.rs", "actors/src/actor.rs"],
    ),
    (".recv_timeout(", &["actors/src/runtime/wait.rs"]),
];

#[test]
fn each_seam_is_used_through_its_own_file() {
    for folder in ["actors/src", "src"] {
        for source in sources(folder) {
            for (word, files) in SEAMS {
                let is_allowed = files.contains(&source.path.as_str());
                assert!(
                    is_allowed || !source.code.contains(word),
                    "{} has {word}, which belongs in {files:?}",
                    source.path
                );
            }
        }
    }
}
