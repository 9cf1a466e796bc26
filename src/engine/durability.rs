//! When a write is acknowledged.

use std::fmt;
use std::time::Duration;

/// When a write is answered, as seen from the disk. A failed sync stops all writes in every mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// After its bytes are on the disk: nothing acknowledged is lost.
    #[default]
    Always,
    /// After its bytes are with the operating system; they are synced at most this much later. A power cut loses what
    /// was acknowledged since the last sync, never something in the middle; the end of the process loses nothing.
    Interval(Duration),
    /// As `Interval`, but synced only when a segment is full, with a snapshot or a backup, and at the stop.
    Os,
}

impl Durability {
    /// Milliseconds between two syncs at most.
    pub const INTERVAL_MS_MAX: u64 = 60_000;

    /// Reads `always`, `os`, `interval:50` or `interval(50)`, in milliseconds from 1 to 60,000.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "always" => return Some(Self::Always),
            "os" => return Some(Self::Os),
            _ => {}
        }
        let rest = text.strip_prefix("interval")?;
        let number = rest.strip_prefix(':').or_else(|| rest.strip_prefix('(')?.strip_suffix(')'))?;
        let millis: u64 = number.parse().ok()?;
        (1..=Self::INTERVAL_MS_MAX).contains(&millis).then(|| Self::Interval(Duration::from_millis(millis)))
    }

    /// Whether groups may be written before the one before them is synced.
    #[must_use]
    pub fn is_relaxed(self) -> bool {
        self != Self::Always
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.write_str("always"),
            Self::Interval(every) => write!(f, "interval({})", every.as_millis()),
            Self::Os => f.write_str("os"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_and_shown_the_same() {
        for text in ["always", "os", "interval(50)"] {
            assert_eq!(Durability::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Durability::parse("interval:50"), Durability::parse("interval(50)"));
        for bad in [
            "",
            "Always",
            "interval",
            "interval:",
            "interval:0",
            "interval(60001)",
            "interval(5",
            "interval:5)",
            "none",
        ] {
            assert_eq!(Durability::parse(bad), None, "{bad}");
        }
    }
}
