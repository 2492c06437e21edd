//! Priorities of threads. The leaf store, checkpoints and bulk work of commits may wait, so that other threads get the
//! cores while these are busy.
//!
//! Threads inherit the priority of the thread that starts them. So a store that is opened on a thread with lowered
//! priority has such threads, too. Priorities are never raised again, since the system allows that only to privileged
//! users.

/// Steps of `nice` between threads that read and prove, and threads for bulk work of commits.
///
/// If both want the same core, Linux divides it 1024 to 655: reads go first, and commits are not starved. Checkpoints
/// have lower priority than both, because `checkpoint.nice` is larger.
const BULK_STEPS: u8 = 2;

/// Lowers the priority of the calling thread to that of bulk work of commits.
pub fn bulk() {
    lower(BULK_STEPS);
}

/// Lowers the priority of the calling thread by this many steps of `nice`, at most to 19. Does nothing if the system
/// has no thread priorities.
#[cfg(target_os = "linux")]
pub fn lower(steps: u8) {
    #[cfg(feature = "simulation")]
    if super::simulated::current().is_some() {
        return;
    }
    const LOWEST: i32 = 19;
    let thread = Some(rustix::thread::gettid());
    // Priorities affect only when work is done, so errors do not matter.
    if let Ok(now) = rustix::process::getpriority_process(thread) {
        let wanted = now.saturating_add(i32::from(steps)).min(LOWEST);
        let _ = rustix::process::setpriority_process(thread, wanted);
    }
}

/// Does nothing: this system has no thread priorities.
#[cfg(not(target_os = "linux"))]
pub fn lower(_: u8) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::getpriority_process;
    use rustix::thread::gettid;

    #[test]
    fn lower_applies_to_a_thread_and_to_those_that_it_starts() {
        let own = || getpriority_process(Some(gettid())).unwrap();
        let before = own();
        let lowered = std::thread::spawn(move || {
            super::lower(3);
            (own(), std::thread::spawn(own).join().unwrap())
        });
        let expected = (before + 3).min(19);
        assert_eq!(lowered.join().unwrap(), (expected, expected));
        assert_eq!(own(), before);
    }

    #[test]
    fn bulk_work_has_a_little_less_priority() {
        let own = || getpriority_process(Some(gettid())).unwrap();
        let before = own();
        let lowered = std::thread::spawn(move || {
            super::bulk();
            own()
        });
        assert_eq!(lowered.join().unwrap(), (before + 2).min(19));
    }
}
