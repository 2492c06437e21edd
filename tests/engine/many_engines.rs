//! Many engines in one process, sequentially and at the same time.

use trunkline::{Config, Engine};

use crate::support::{log_only, put, puts, submit, without_hanging};

/// Returns the number of threads in this process that belong to engines.
#[cfg(target_os = "linux")]
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|name| name.starts_with("trunkline-"))
        .count()
}

/// Runs in its own process, since other tests have engines too.
#[test]
#[cfg(target_os = "linux")]
fn a_hundred_engines_in_one_process_leave_no_thread() {
    const ALONE: &str = "TRUNKLINE_TEST_ALONE";
    const NAME: &str = "many_engines::a_hundred_engines_in_one_process_leave_no_thread";
    if std::env::var_os(ALONE).is_some() {
        return come_and_go(100);
    }
    let own = std::env::current_exe().unwrap();
    let mut child = std::process::Command::new(own);
    let output = child
        .args([NAME, "--exact", "--nocapture"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[cfg(target_os = "linux")]
fn come_and_go(times: u64) {
    let directory = tempfile::tempdir().unwrap();
    let config = log_only(directory.path());
    let open_files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let mut files_before = 0;
    for time in 1..=times {
        // Each test has its own time limit: a hundred engines take long on a busy machine.
        let config = config.clone();
        without_hanging(move || live_once(config, time));
        if time == 1 {
            files_before = open_files();
        }
    }
    assert_eq!(open_files(), files_before);
}

#[cfg(target_os = "linux")]
fn live_once(config: Config, time: u64) {
    let engine = Engine::open_blocking(config).unwrap();
    put(&engine, "key", &format!("{time}"));
    crate::support::until(|| threads() >= 7);
    engine.shutdown_blocking().unwrap();
    assert_eq!(engine.snapshot().version(), time);
    drop(engine);
    // Worker threads of rayon end shortly after their pool.
    crate::support::until(|| threads() == 0);
}

#[test]
fn many_engines_live_in_one_process() {
    without_hanging(|| {
        let directories: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
        let open = |(index, directory): (usize, &tempfile::TempDir)| {
            let mut config = Config::in_directory(directory.path());
            config.engine.name = format!("engine {index}");
            config.workers.threads = 1;
            config.checkpoint.bytes_max = 4096;
            Engine::open_blocking(config).unwrap()
        };
        let engines: Vec<Engine> = directories.iter().enumerate().map(open).collect();
        for round in 0..20_u64 {
            for (engine, index) in engines.iter().zip(0_u64..) {
                let value = format!("{index} in {round} {}", "x".repeat(300));
                submit(
                    engine,
                    puts([("key".as_bytes(), &value), (&round.to_le_bytes(), &value)]),
                );
            }
        }
        for (engine, index) in engines.iter().zip(0..) {
            let value = engine.get(b"key").unwrap().unwrap();
            assert!(value.starts_with(format!("{index} in 19").as_bytes()));
            assert_eq!(engine.metrics().engine, format!("engine {index}"));
            assert_eq!(engine.snapshot().version(), 20);
        }
        engines[0].shutdown_blocking().unwrap();
        put(&engines[1], "key", "goes on");
        drop(engines);
        let again: Vec<Engine> = directories.iter().enumerate().map(open).collect();
        assert_eq!(again[1].get(b"key").unwrap(), Some("goes on".into()));
        assert_eq!(again[2].snapshot().key_count(), 21);
    });
}

/// If the future of an opening is dropped, the engine is shut down once it is open.
#[test]
fn dropping_the_future_of_open_releases_the_directory() {
    without_hanging(|| {
        let directory = tempfile::tempdir().unwrap();
        let config = log_only(directory.path());
        let mut opening = Box::pin(Engine::open(config.clone()));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(opening.as_mut().poll(&mut context).is_pending());
        drop(opening);
        crate::support::until(|| match Engine::open_blocking(config.clone()) {
            Ok(engine) => engine.shutdown_blocking().is_ok(),
            Err(_) => false,
        });
    });
}
