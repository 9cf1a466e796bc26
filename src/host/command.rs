//! What another program prints, within a time: for a key that some vault hands out.

use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How often it is asked whether a program has ended.
const POLL: Duration = Duration::from_millis(5);

/// Runs a line of the system's shell and gives what it prints on standard output. Its standard error is this program's.
///
/// # Errors
/// `TimedOut` after `timeout`, when the program is killed; `FileTooLarge` for more than `bytes_max`; `Other` when it ends
/// with another code than 0; and what the system says.
pub fn output_of(line: &str, timeout: Duration, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut child = Command::new("sh")
        .args(["-c", line])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    let outcome = wait(&mut child, timeout, bytes_max);
    if outcome.is_err() {
        // It may have ended by itself; either way nothing of it stays.
        drop(child.kill());
        drop(child.wait());
    }
    outcome
}

#[expect(clippy::disallowed_methods, reason = "host is the one place that reads the clock")]
fn wait(child: &mut Child, timeout: Duration, bytes_max: usize) -> io::Result<Vec<u8>> {
    let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let (send, printed) = mpsc::channel();
    // A program that the shell left behind may hold the pipe open, so nobody waits for the end of this thread.
    std::thread::Builder::new().name("command-output".into()).spawn(move || {
        let mut bytes = Vec::new();
        let read = stdout.take(bytes_max as u64 + 1).read_to_end(&mut bytes);
        let _ = send.send(read.map(|_| bytes));
    })?;
    let deadline = Instant::now() + timeout;
    let bytes = printed.recv_timeout(timeout).map_err(|_| io::ErrorKind::TimedOut)??;
    if bytes.len() > bytes_max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(bytes),
            Some(status) => return Err(io::Error::other(format!("it ended with {status}"))),
            None if Instant::now() >= deadline => return Err(io::ErrorKind::TimedOut.into()),
            None => std::thread::sleep(POLL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_prints_comes_back_and_failures_are_told_apart() {
        let run = |line: &str, ms: u64| output_of(line, Duration::from_millis(ms), 10);
        assert_eq!(run("printf abc", 20_000).unwrap(), b"abc");
        assert_eq!(run("printf 0123456789", 20_000).unwrap().len(), 10);
        assert_eq!(run("printf 01234567890", 20_000).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert!(run("printf abc; exit 3", 20_000).unwrap_err().to_string().contains('3'));
        assert_eq!(run("sleep 20", 50).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(run("printf abc; exec >&-; sleep 20", 50).unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
