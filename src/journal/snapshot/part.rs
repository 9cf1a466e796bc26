//! One tenant's chunks in a snapshot, found and read without the rest of it.
//!
//! Whoever writes or reads a snapshot notes where each tenant's chunks stand ([`Span`]): they follow each other. A [`Part`]
//! reads them later, each held against its checksum and, where it is sealed, against its label. It keeps the file open: a
//! snapshot that is removed stays on the disk until the last part of it is dropped.

use std::sync::Arc;

use super::{Snapshot, StoredChunk};
use crate::error::Result;

/// Where a tenant's chunks stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    offset: u64,
    index: u64,
    chunks: u64,
}

/// Where the chunks of each tenant stand, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans(Vec<(u64, Span)>);

impl Spans {
    /// Notes the next chunk of the file: whose it is, where it begins and which it is.
    pub(super) fn note(&mut self, tenant: u64, offset: u64, index: u64) {
        match self.0.last_mut() {
            Some((of, span)) if *of == tenant => span.chunks += 1,
            _ => self.0.push((tenant, Span { offset, index, chunks: 1 })),
        }
    }

    /// Notes chunks that were read, the next of the file.
    pub fn note_read(&mut self, chunks: &[StoredChunk]) {
        chunks.iter().for_each(|chunk| self.note(chunk.tenant, chunk.offset, chunk.index));
    }

    /// Whose chunks stand where.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Span)> + '_ {
        self.0.iter().copied()
    }
}

/// One tenant's chunks, to be read when they are wanted.
#[derive(Clone, Debug)]
pub struct Part {
    snapshot: Arc<Snapshot>,
    span: Span,
}

impl Part {
    /// Of a snapshot that the span is of.
    pub fn new(snapshot: &Arc<Snapshot>, span: Span) -> Self {
        Self { snapshot: Arc::clone(snapshot), span }
    }

    /// The chunks as they are stored, in their order.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are not what was written, `Io` from the disk.
    pub fn read(&self) -> Result<Vec<StoredChunk>> {
        let Span { mut offset, index, chunks } = self.span;
        let mut read = Vec::new();
        for index in index..index + chunks {
            let (piece, _, payload) = self.snapshot.whole_piece(offset, index)?;
            if piece.is_footer() {
                return Err(self.snapshot.damaged(offset, "the tenant's chunks end too early"));
            }
            let chunk = self.snapshot.stored(&piece, payload, offset, index);
            offset = chunk.end();
            read.push(chunk);
        }
        Ok(read)
    }
}
