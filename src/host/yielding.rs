//! Threads that let others go first.

/// Niceness of work in the background, 0 to 19: beside a thread of the usual 0 that also wants a core it gets a tenth of it, alone all.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// From now on the calling thread, and those that it starts, let the others go first where cores are short. For work that
/// nobody waits for, or that takes so long that those who wait will not see the difference. Elsewhere than on Linux, where
/// priorities are a process' own, and where the system refuses, nothing changes.
pub fn let_others_go_first() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "work in the background has the usual priority");
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_and_those_it_starts_step_back_and_the_others_do_not() {
        let now = || rustix::process::getpriority_process(None).unwrap();
        let before = now();
        let started = std::thread::spawn(move || {
            let_others_go_first();
            (now(), std::thread::spawn(now).join().unwrap())
        });
        assert_eq!(started.join().unwrap(), (NICENESS, NICENESS));
        assert_eq!(now(), before);
    }
}
