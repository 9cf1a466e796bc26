//! Reads of what points at contacts from outside.

use std::sync::Arc;

use crate::engine::View;
use crate::engine::api::Page;
use crate::engine::reader::{cursor, page_limit};
use crate::error::Result;
pub use crate::model::event::{ReferenceName, ReferencePut};
use crate::model::ids::EntityId;
use crate::resolve::act::live;
use crate::resolve::reference::held;

impl View {
    /// All references of a contact, by kind and external id.
    ///
    /// # Errors
    /// `NotFound` and `Moved`.
    pub fn references(&self, id: EntityId) -> Result<Vec<Arc<ReferencePut>>> {
        live(self.shard(), id).map(|entity| self.shard().references_of(entity))
    }

    /// A page of them.
    ///
    /// # Errors
    /// `NotFound` and `Moved`; `Invalid` for a cursor that is not ours.
    pub fn references_page(&self, id: EntityId, limit: usize, after: Option<&str>) -> Result<Page<Arc<ReferencePut>>> {
        let (limit, start) = (page_limit(limit), cursor(after)?);
        let all = self.references(id)?;
        let end = start.saturating_add(limit);
        let next = (end < all.len()).then(|| end.to_string());
        Ok(Page { items: all.into_iter().skip(start).take(limit).collect(), next, covered: None })
    }

    /// One of them.
    ///
    /// # Errors
    /// `NotFound` for the contact, and for a reference that it does not have; `Moved`.
    pub fn reference(&self, id: EntityId, name: &ReferenceName) -> Result<&ReferencePut> {
        held(self.shard(), id, name)
    }
}
