//! Threads that may wait, so that others keep the cores while these are busy: the leaf store and checkpoints behind the
//! pipeline, and bulk work of commits behind whoever reads and proves.
//!
//! Threads inherit the priority of the one that starts them, so a store that is opened on a lowered
//! thread has lowered threads of its own. Not here: what may wait, and raising anything again, which
//! the system allows to the privileged alone.

/// How far threads for bulk work of commits stand back behind those that read and prove, steps of `nice`. Where both
/// want the same core, Linux gives it to them 655 to 1024: reads go first and commits are not starved. Less than
/// `checkpoint.nice`, so that checkpoints stand behind both.
const BULK_STEPS: u8 = 2;

/// Lets the calling thread stand back as threads for bulk work of commits do.
pub fn bulk() {
    lower(BULK_STEPS);
}

/// Lets the calling thread stand back by so many steps of `nice`, at most 19 altogether. Where the
/// system has no priorities of threads, nothing happens.
#[cfg(target_os = "linux")]
pub fn lower(steps: u8) {
    const LOWEST: i32 = 19;
    let thread = Some(rustix::thread::gettid());
    // On Linux a priority belongs to a thread. Without it work is done at the wrong time, not wrongly,
    // so a system that refuses is left to its own devices.
    if let Ok(now) = rustix::process::getpriority_process(thread) {
        let wanted = now.saturating_add(i32::from(steps)).min(LOWEST);
        let _ = rustix::process::setpriority_process(thread, wanted);
    }
}

/// Lets the calling thread stand back; here nothing happens.
#[cfg(not(target_os = "linux"))]
pub fn lower(_: u8) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::getpriority_process;
    use rustix::thread::gettid;

    #[test]
    fn a_lowered_thread_and_those_it_starts_stand_back_and_no_other() {
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
    fn bulk_work_stands_back_a_little() {
        let own = || getpriority_process(Some(gettid())).unwrap();
        let before = own();
        let lowered = std::thread::spawn(move || {
            super::bulk();
            own()
        });
        assert_eq!(lowered.join().unwrap(), (before + 2).min(19));
    }
}
