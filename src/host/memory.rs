//! How much memory this process holds.

/// Bytes of memory that this process has in use (resident), as the system counts them. `None` where it does not say.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "host is the one place that asks the system")]
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_touched_is_counted() {
        // Other tests of the process give memory back meanwhile, so one of several looks must see it.
        let seen = (0..20).any(|_| {
            let before = resident_bytes().unwrap();
            let held = vec![1_u8; 64 << 20];
            let after = resident_bytes().unwrap();
            assert!(held.iter().map(|byte| u64::from(*byte)).sum::<u64>() == 64 << 20);
            before > 100 << 10 && after > before + (32 << 20)
        });
        assert!(seen);
    }
}
