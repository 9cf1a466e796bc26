//! Records whose source said two things under one version: which puts contradict each other, and what a person picked.

use crate::model::event::{ConflictFound, ConflictSettled};
use crate::model::ids::{Millis, Seq};
use crate::store::shard::Shard;

/// Puts of one record that are equal in version and time and differ in content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// All of them by seq, oldest first; at least two.
    pub puts: Vec<Seq>,
    /// When the last of them came.
    pub found_at: Millis,
    /// What a person picked. Missing: it is open.
    pub settled: Option<Settled>,
}

/// A person's choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The put that counts.
    pub put: Seq,
    /// When it was picked.
    pub at: Millis,
    /// Who picked it.
    pub actor: String,
}

impl Conflict {
    /// Whether nobody has picked yet.
    pub fn is_open(&self) -> bool {
        self.settled.is_none()
    }
}

impl Shard {
    pub(in crate::store) fn conflict_found(&mut self, found: ConflictFound) {
        let ConflictFound { record_id, puts, at, actor: _ } = found;
        self.conflicts.insert(record_id, Conflict { puts, found_at: at, settled: None });
    }

    pub(in crate::store) fn conflict_settled(&mut self, over: ConflictSettled) {
        let ConflictSettled { record_id, put, at, actor } = over;
        match put {
            Some(put) => {
                if let Some(conflict) = self.conflicts.get_mut(&record_id) {
                    conflict.settled = Some(Settled { put, at, actor });
                }
            }
            None => {
                self.conflicts.remove(&record_id);
            }
        }
    }
}
