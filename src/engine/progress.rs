//! How far opening a data directory is, for whoever waits for it.

use std::sync::atomic::{AtomicU64, Ordering};

/// What is being read, and how much of it has been. Read while it changes: the parts may be of two moments.
#[derive(Debug, Default)]
pub struct Progress {
    snapshot_bytes: AtomicU64,
    snapshot_total: AtomicU64,
    frames: AtomicU64,
    frames_total: AtomicU64,
}

impl Progress {
    /// So many bytes of a snapshot have been read.
    pub fn snapshot(&self, bytes: u64, total: u64) {
        self.snapshot_total.store(total, Ordering::Relaxed);
        self.snapshot_bytes.store(bytes.min(total), Ordering::Relaxed);
    }

    /// So many frames of those behind the snapshot have been folded in.
    pub fn journal(&self, frames: u64, total: u64) {
        self.frames_total.store(total, Ordering::Relaxed);
        self.frames.store(frames.min(total), Ordering::Relaxed);
    }

    /// In words: `reading the journal: 1200 of 4800 frames (25 %)`. `None` before anything was found to read.
    #[must_use]
    pub fn describe(&self) -> Option<String> {
        let pair = |done: &AtomicU64, total: &AtomicU64| (done.load(Ordering::Relaxed), total.load(Ordering::Relaxed));
        let said = |what: &str, unit: &str, (done, total): (u64, u64)| {
            let percent = done.saturating_mul(100) / total.max(1);
            format!("reading the {what}: {done} of {total} {unit} ({percent} %)")
        };
        let frames = pair(&self.frames, &self.frames_total);
        let snapshot = pair(&self.snapshot_bytes, &self.snapshot_total);
        if frames.1 > 0 {
            return Some(said("journal", "frames", frames));
        }
        (snapshot.1 > 0).then(|| said("snapshot", "bytes", snapshot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_is_read_and_how_far() {
        let progress = Progress::default();
        assert_eq!(progress.describe(), None);
        progress.snapshot(10, 40);
        assert_eq!(progress.describe().unwrap(), "reading the snapshot: 10 of 40 bytes (25 %)");
        progress.journal(1200, 4800);
        assert_eq!(progress.describe().unwrap(), "reading the journal: 1200 of 4800 frames (25 %)");
    }
}
