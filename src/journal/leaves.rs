//! The digests of a group that was written, made while the disk syncs it.
//!
//! Each frame's leaf is a BLAKE3 over its salt and payload, and the segment's digest runs over the leaves. Nobody needs
//! either before the segment is sealed, so a large group is hashed on another thread while `fdatasync` waits for the disk:
//! for 256 frames both take about as long.

use std::ops::Range;

use crate::journal::format::{RawFrame, Tally};

/// Frames of a group from which another thread is worth its start.
const ASIDE_FRAMES: usize = 96;

/// A group's frames that the digest has not seen.
#[derive(Default)]
pub(super) struct Leaves {
    group: Option<(u64, i64)>,
    frames: Vec<Leaf>,
}

/// One frame: what the digest needs of it, and where salt and payload are in the buffer.
struct Leaf {
    seq: u64,
    tenant: u64,
    kind: u8,
    version: u8,
    flags: u16,
    body: Range<usize>,
}

impl Leaves {
    /// Begins a group.
    pub(super) fn begin(&mut self, first_seq: u64, time_ms: i64) {
        self.group = Some((first_seq, time_ms));
        self.frames.clear();
    }

    /// Notes a frame; `body` is the place of its salt and payload in the buffer.
    pub(super) fn push(&mut self, frame: &RawFrame<'_>, body: Range<usize>) {
        let RawFrame { seq, tenant, kind, version, flags, .. } = *frame;
        self.frames.push(Leaf { seq, tenant, kind, version, flags, body });
    }

    /// Whether hashing is so much that it should not be waited for.
    pub(super) fn are_many(&self) -> bool {
        self.frames.len() >= ASIDE_FRAMES
    }

    /// Adds the group to the digest, once.
    pub(super) fn settle(&mut self, buffer: &[u8], tally: &mut Tally) {
        let Some((first_seq, time_ms)) = self.group.take() else { return };
        tally.group(first_seq, time_ms);
        for leaf in self.frames.drain(..) {
            let Leaf { seq, tenant, kind, version, flags, body } = leaf;
            let body = buffer.get(body).unwrap_or_default();
            let hash = blake3::hash(body);
            tally.frame(&RawFrame { seq, tenant, kind, version, flags, position: 0, body }, hash.as_bytes());
        }
    }
}
