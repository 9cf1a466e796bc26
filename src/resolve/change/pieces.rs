//! A difference too large for one event, in pieces.
//!
//! The journal bounds a frame, and a whole tenant resolved anew can be larger. The pieces keep the order in which one
//! event would be applied and belong to one command, so together they are that event.

use crate::model::event::Resolved;

/// Bytes of one piece, about; a quarter of what the journal takes in a frame.
const PIECE_BYTES_MAX: usize = 4 << 20;

/// Cuts a difference into pieces that the journal takes. Mostly it is one.
pub fn pieces(resolved: Resolved) -> Vec<Resolved> {
    cut(resolved, PIECE_BYTES_MAX)
}

fn cut(resolved: Resolved, bytes_max: usize) -> Vec<Resolved> {
    let Resolved { at, actor, edges, edges_gone, groups, merges, reviews, reviews_gone } = resolved;
    let empty = Resolved { at, actor, ..Resolved::default() };
    let mut cutter = Cutter { current: empty.clone(), empty, bytes: 0, bytes_max, done: Vec::new() };
    for gone in edges_gone {
        cutter.room(32).edges_gone.push(gone);
    }
    for edge in edges {
        cutter.room(36).edges.push(edge);
    }
    for merged in merges {
        let text = merged.reason.as_ref().map_or(0, String::len);
        cutter.room(160 + text + 16 * (merged.left.len() + merged.right.len())).merges.push(merged);
    }
    for group in groups {
        cutter.room(32 + 16 * (group.records.len() + group.absorbed.len())).groups.push(group);
    }
    for gone in reviews_gone {
        cutter.room(16).reviews_gone.push(gone);
    }
    for review in reviews {
        cutter.room(64).reviews.push(review);
    }
    cutter.done.push(cutter.current);
    cutter.done
}

struct Cutter {
    empty: Resolved,
    current: Resolved,
    bytes: usize,
    bytes_max: usize,
    done: Vec<Resolved>,
}

impl Cutter {
    /// The piece that has room for so many bytes more.
    fn room(&mut self, bytes: usize) -> &mut Resolved {
        if self.bytes > 0 && self.bytes + bytes > self.bytes_max {
            self.done.push(std::mem::replace(&mut self.current, self.empty.clone()));
            self.bytes = 0;
        }
        self.bytes += bytes;
        &mut self.current
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Edge, Group};
    use crate::model::ids::{EntityId, Millis, RecordId, ReviewId};
    use crate::model::key::Millibits;

    #[test]
    fn pieces_hold_everything_in_order() {
        let edge = |n: u128| Edge { a: RecordId(n), b: RecordId(n + 1), weight: Millibits(5) };
        let group = |n: u128| Group { entity: EntityId(n), records: vec![RecordId(n)], absorbed: Vec::new() };
        let whole = Resolved {
            at: Millis(7),
            actor: "test".into(),
            edges: (0..10).map(edge).collect(),
            groups: (0..10).map(group).collect(),
            reviews_gone: vec![ReviewId(3)],
            ..Resolved::default()
        };
        let parts = cut(whole.clone(), 100);
        assert!(parts.len() > 5 && parts.iter().all(|part| part.at == whole.at && part.actor == "test"));
        let edges: Vec<Edge> = parts.iter().flat_map(|part| part.edges.clone()).collect();
        let groups: Vec<Group> = parts.iter().flat_map(|part| part.groups.clone()).collect();
        assert_eq!((edges, groups), (whole.edges.clone(), whole.groups.clone()));
        assert_eq!(pieces(whole.clone()), [whole]);
    }
}
