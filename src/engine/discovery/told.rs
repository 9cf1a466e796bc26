//! What look-ups tell of each record, worked out ahead: whom a hit names where nobody in particular asks.
//!
//! Whether a contact may be told hangs on redirects, policies, opt-outs, restrictions: a dozen places in memory for each hit,
//! each of them cold in a large directory. Here it is one number for a record's slot. It is of exactly one view, whose seq it
//! carries, and is never asked on behalf of another: who holds a view of another seq asks the state itself, so that an
//! answer is always that of one view. The commit thread brings it from view to view with the map ([`super::map`]), working
//! out anew what the change feed says was touched.
//!
//! It cannot know who asks. Where nobody blocks and nobody asks for acquaintances only, that makes no difference;
//! elsewhere [`super::Asking`] asks the state.

use rayon::prelude::*;

use crate::cow::PVec;
use crate::engine::discovery::map::contact_of;
use crate::model::ids::{EntityId, Seq};
use crate::store::shard::Shard;

/// Slots that one thread takes at once.
const SLOTS_AT_ONCE: usize = 1024;
/// In place of an id: nobody. No id is made of zeros alone, they carry a version.
const NOBODY: u128 = 0;

/// Whom a hit on each record names, as of one view. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// The view's.
    seq: Seq,
    /// By slot.
    by_slot: PVec<u128>,
}

impl Told {
    /// Of everything in a view, on all cores.
    pub(crate) fn of(view: &Shard) -> Self {
        let slots = 0..view.next_slot();
        let all: Vec<u128> = slots.into_par_iter().with_min_len(SLOTS_AT_ONCE).map(|slot| answer(view, slot)).collect();
        let mut by_slot = PVec::default();
        all.into_iter().for_each(|one| by_slot.push(one));
        Self { seq: view.seq, by_slot }
    }

    /// The same as of a later view, between which and its own nothing but `slots` was touched.
    pub(crate) fn followed(&self, after: &Shard, slots: impl IntoIterator<Item = u32>) -> Self {
        let mut by_slot = self.by_slot.clone();
        for slot in (0..after.next_slot()).skip(by_slot.len()) {
            by_slot.push(answer(after, slot));
        }
        for slot in slots {
            let (at, now) = (slot as usize, answer(after, slot));
            if by_slot.get(at).is_some_and(|was| *was != now)
                && let Some(one) = by_slot.get_mut(at)
            {
                *one = now;
            }
        }
        Self { seq: after.seq, by_slot }
    }

    /// Whether it is of this view.
    pub(crate) fn is_of(&self, view: &Shard) -> bool {
        self.seq == view.seq
    }

    /// Whom a hit on a record names: `Some(None)` nobody, `None` unknown here.
    pub(crate) fn get(&self, slot: u32) -> Option<Option<EntityId>> {
        let one = *self.by_slot.get(slot as usize)?;
        Some((one != NOBODY).then_some(EntityId(one)))
    }
}

/// What the state says of a record, as a number.
fn answer(view: &Shard, slot: u32) -> u128 {
    let told = contact_of(view, slot).and_then(|id| view.discoverable(id, None, &|_, _| false));
    told.map_or(NOBODY, |id| id.0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::engine::api::{Answer, Command, ConsentCommand, Context, Mode, Policy};
    use crate::engine::{Engine, EngineOptions, World};
    use crate::formats::json::{RecordInput, from_slice};
    use crate::host::{ManualClock, MemDisk, SeededRandom};
    use crate::model::event::Consent;
    use crate::model::event::consent::Findable;
    use crate::model::ids::{EntityId, Millis, TenantName};
    use crate::model::settings::{Discovery, Settings};

    fn tenant() -> TenantName {
        TenantName::parse("app").unwrap()
    }

    fn submit(engine: &Engine, command: Command) -> Answer {
        engine.submit_blocking(&tenant(), command, Context::default()).unwrap().answer
    }

    fn put(engine: &Engine, source: &str, id: u32) -> EntityId {
        let json =
            format!(r#"{{"source":"{source}","source_record_id":"{id}","name":"U{id}","phone":"+1212555{id:04}"}}"#);
        let record = from_slice::<RecordInput>(json.as_bytes()).unwrap().into_checked("api").unwrap();
        let command = Command::Upsert { records: vec![record], mode: Mode::Merge, dry_run: false };
        let Answer::Upserted(results) = submit(engine, command) else { panic!("results") };
        results[0].contact_id.unwrap()
    }

    fn allow(engine: &Engine, contact: EntityId, policy: Findable) {
        let consent = Consent { basis: "consent".into(), actor: "test".into(), at: Millis(1) };
        let policy = Policy { policy, book: None, consent: Some(consent) };
        submit(engine, Command::Consent(ConsentCommand::Policy { contact, policy }));
    }

    fn directory() -> Arc<Engine> {
        let world = World {
            disk: Arc::new(MemDisk::new()),
            clock: Arc::new(ManualClock::new(Millis(1_800_000_000_000))),
            random: Arc::new(SeededRandom::new(1)),
        };
        let engine = Engine::open(EngineOptions::new("/data"), world).unwrap().0;
        let discovery = Discovery { users: Some("app".into()), ..Discovery::default() };
        submit(&engine, Command::PutSettings { settings: Box::new(Settings { discovery, ..Settings::default() }) });
        engine
    }

    /// What is worked out ahead, by slot; it must be there after every write.
    fn ahead(engine: &Engine) -> Vec<Option<EntityId>> {
        let asking = engine.asking(&tenant(), None).unwrap();
        let told = asking.told.as_ref().expect("as of the view that was just published");
        let by_state: Vec<_> = (0..asking.shard.next_slot()).map(|slot| asking.told_by_state(slot)).collect();
        let ahead: Vec<_> = (0..asking.shard.next_slot()).map(|slot| told.get(slot).unwrap()).collect();
        assert_eq!(ahead, by_state);
        ahead
    }

    #[test]
    fn it_goes_from_view_to_view() {
        let engine = directory();
        let ids: Vec<EntityId> = (0..40).map(|id| put(&engine, "app", id)).collect();
        allow(&engine, ids[3], Findable::Everyone);
        let mut expected = vec![None; 40];
        expected[3] = Some(ids[3]);
        assert_eq!(ahead(&engine), expected, "built");
        allow(&engine, ids[17], Findable::Everyone);
        expected[17] = Some(ids[17]);
        assert_eq!(ahead(&engine), expected, "one was allowed");
        // Of another system, so that it is no user of its own.
        let late = put(&engine, "crm", 40);
        expected.push(None);
        assert_eq!(ahead(&engine), expected, "one came");
        allow(&engine, late, Findable::Everyone);
        expected[40] = Some(late);
        submit(&engine, Command::Consent(ConsentCommand::OptOut { contact: ids[17] }));
        expected[17] = None;
        assert_eq!(ahead(&engine), expected, "one left");
        let contacts = vec![ids[3], late];
        submit(&engine, Command::Merge { contacts, survivor: Some(ids[3]), reason: None, dry_run: false });
        expected[40] = Some(ids[3]);
        assert_eq!(ahead(&engine), expected, "a record came to another contact");
        submit(&engine, Command::Delete { contact: ids[3] });
        (expected[3], expected[40]) = (None, None);
        assert_eq!(ahead(&engine), expected, "deleted");
    }
}
