//! Keeps the users of the directory beside the contacts of tenants that want it, and tells their change feeds.
//!
//! What is asked for is computed from the directory as it is (see [`crate::engine::consent`]), so consent, blocks and
//! opt-outs count at once; this thread only notes the difference a moment later, so that `joined` and `left` appear in the
//! feed. It follows the feeds of the book and of the directory; where it has not followed yet, it looks at all contacts.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::engine::api::{Command, ConsentCommand, Context};
use crate::engine::consent::{contacts_of_user, users_to_note};
use crate::engine::{Core, Engine, Tenant, lock};
use crate::error::{Error, Result};
use crate::model::ids::{EntityId, TenantId};
use crate::store::shard::Shard;

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// Looks after a change of settings for which the list of tenants is made anew: ten seconds, longer than a sync takes.
const STALE_LOOKS: u32 = 20;
/// The actor of what is noted.
const ACTOR: &str = "directory";

/// How far the feeds were followed.
pub(crate) struct Users {
    /// Looks for which the list of those that keep users is made anew: settings changed, and readers see it only after the
    /// sync.
    stale_looks: AtomicU32,
    seen: Mutex<HashMap<TenantId, Seen>>,
}

/// How far the feeds of one book and its directory were followed.
struct Seen {
    tenant: Arc<Tenant>,
    directory: Option<TenantId>,
    /// The book's owner then: with another, everything is looked at again.
    owner: Option<EntityId>,
    book_feed: usize,
    directory_feed: usize,
}

impl Default for Users {
    fn default() -> Self {
        Self { stale_looks: AtomicU32::new(STALE_LOOKS), seen: Mutex::default() }
    }
}

impl Users {
    /// Says that settings may have changed.
    pub(crate) fn settings_changed(&self) {
        self.stale_looks.store(STALE_LOOKS, Ordering::Release);
    }
}

/// The thread's life: until the sender of `stop` is gone, or the engine.
pub(crate) fn run(engine: &Weak<Engine>, stop: &Receiver<()>) {
    while stop.recv_timeout(LOOK) != Err(RecvTimeoutError::Disconnected) {
        let Some(engine) = engine.upgrade() else { return };
        if let Err(error) = engine.note_users() {
            tracing::warn!(%error, "users of the directory were not noted; it is tried again");
        }
    }
}

impl Engine {
    /// Notes which users of their directories the contacts of all tenants are that keep them, as far as it changed since the
    /// last time. Returns how many were noted. The engine does so by itself; for tests and orderly answers.
    ///
    /// # Errors
    /// As [`Engine::submit`].
    pub fn note_users(&self) -> Result<usize> {
        let users = &self.core.users;
        let mut seen = lock(&users.seen);
        let stale = users.stale_looks.load(Ordering::Acquire);
        if stale > 0 {
            // Somebody may have set it anew meanwhile: then it stays.
            let _ = users.stale_looks.compare_exchange(stale, stale - 1, Ordering::AcqRel, Ordering::Relaxed);
            refresh(&self.core, &mut seen);
        }
        let (mut noted, mut failed) = (0, None);
        for one in seen.values_mut() {
            // One tenant that cannot be written to does not keep the others waiting.
            match self.note_in(one) {
                Ok(more) => noted += more,
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(noted), Err)
    }

    fn note_in(&self, seen: &mut Seen) -> Result<usize> {
        let book = seen.tenant.view.load_full();
        let name = book.settings.discovery.directory.as_deref();
        let directory = name.and_then(|name| self.core.shard_named(name));
        let due = due(seen, &book, directory.as_deref());
        let mut noted = 0;
        for (contact, user) in users_to_note(&self.core, &book, due) {
            let command = Command::Consent(ConsentCommand::User { contact, user });
            let context = Context { actor: ACTOR.to_owned(), idempotency: None };
            match self.submit_blocking(&seen.tenant.name, command, context) {
                Ok(_) => noted += 1,
                // It changed meanwhile, and its own change is in the feed.
                Err(Error::NotFound { .. } | Error::Moved { .. } | Error::Gone) => {}
                Err(error) => return Err(error),
            }
        }
        (seen.book_feed, seen.directory_feed) =
            (book.feed.len(), directory.as_ref().map_or(0, |directory| directory.feed.len()));
        Ok(noted)
    }
}

/// Finds the tenants that keep users; what was followed of those that still do stays.
fn refresh(core: &Core, seen: &mut HashMap<TenantId, Seen>) {
    let keeps = |tenant: &Arc<Tenant>| {
        // One that is parked has none.
        let view = tenant.view.head();
        view.settings.discovery.keep_users || !view.consents.has_no_users()
    };
    let keepers: Vec<Arc<Tenant>> = core.all().into_iter().filter(keeps).collect();
    let ids: BTreeSet<TenantId> = keepers.iter().map(|tenant| tenant.id).collect();
    seen.retain(|id, _| ids.contains(id));
    for tenant in keepers {
        let new = Seen { tenant: Arc::clone(&tenant), directory: None, owner: None, book_feed: 0, directory_feed: 0 };
        seen.entry(tenant.id).or_insert(new);
    }
}

/// The contacts to look at.
fn due(seen: &mut Seen, book: &Shard, directory: Option<&Shard>) -> BTreeSet<EntityId> {
    let owner = directory.and_then(|directory| directory.consents.owner_of(&book.name));
    let id = directory.map(|directory| directory.tenant);
    let all = seen.directory != id || seen.owner != owner || seen.book_feed == 0;
    (seen.directory, seen.owner) = (id, owner);
    if all {
        return book.entity_order.iter().copied().collect();
    }
    let mut due: BTreeSet<EntityId> =
        book.feed.iter_from(seen.book_feed).flat_map(|entry| entry.entities.iter().copied()).collect();
    let Some(directory) = directory else { return due };
    let changed: BTreeSet<EntityId> =
        directory.feed.iter_from(seen.directory_feed).flat_map(|entry| entry.entities.iter().copied()).collect();
    if changed.is_empty() {
        return due;
    }
    if changed.iter().any(|id| Some(*id) == owner) {
        return book.entity_order.iter().copied().collect();
    }
    let was = book.consents.users().filter(|(_, user)| {
        changed.contains(user) || directory.resolve_id(**user).is_some_and(|user| changed.contains(&user))
    });
    due.extend(was.map(|(contact, _)| *contact));
    due.extend(changed.iter().flat_map(|user| contacts_of_user(book, directory, *user)));
    due
}
