//! Making a directory's sets: who can be found now, what of that is known already, and what must be evaluated.
//!
//! A walk over the whole state costs half a microsecond an identifier, an evaluation sixty times that. So every change is
//! followed by a walk, and only what is new is evaluated. Between two walks lies ten times what the last one took.

use std::collections::HashMap;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::discovery::dialect::primary;
use crate::discovery::oprf::EpochKey;
use crate::discovery::oprf::set::{ID_BYTES, Member, MemberId, Set};
use crate::discovery::tag::Master;
use crate::discovery::{Inner, Kind};
use crate::engine::Core;
use crate::engine::oprf::cache::{CacheFile, End, Entry};
use crate::error::{Error, Result};
use crate::matching::features::{email_key, phone_key};
use crate::model::ids::EntityId;
use crate::model::normalized::Normalized;
use crate::store::shard::{Entity, Shard};

/// Identifiers of one piece of work: 7 ms.
const PIECE: usize = 256;
/// Pieces after which outputs are written to disk.
const PIECES_SAVED: usize = 32;

/// Context of the key that members' ids are made with.
const ID_CONTEXT: &str = "selfsame 2026-11 oprf member";
/// Context of the key that padding is made with.
const PADDING_CONTEXT: &str = "selfsame 2026-11 oprf padding";

/// An identifier of a record that can be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identifier<'a> {
    pub(super) kind: Kind,
    /// What is hashed: E.164, or the address as mail is delivered to it.
    pub(super) text: &'a str,
    /// What the index has it under: of an address without what the tenant's rules leave aside.
    indexed: &'a str,
}

pub(super) fn identifiers(of: &Normalized) -> impl Iterator<Item = Identifier<'_>> {
    let phones = of.phones.iter().filter(|phone| phone.e164.starts_with('+'));
    let emails = of.emails.iter().filter(|email| email.delivered.contains('@'));
    let phones = phones.map(|one| Identifier { kind: Kind::Phone, text: &one.e164, indexed: &one.e164 });
    phones.chain(emails.map(|one| Identifier { kind: Kind::Email, text: &one.delivered, indexed: &one.canonical }))
}

/// Every live contact that everyone may find, with each identifier of its records.
pub(super) fn each_findable<'a>(shard: &'a Shard, mut take: impl FnMut(&'a Entity, u32, Identifier<'_>)) {
    for id in shard.entity_order.iter() {
        let Some(entity) = shard.entity(*id).filter(|entity| !entity.members.is_empty()) else { continue };
        if shard.discoverable(*id, None, &|_, _| false) != Some(*id) {
            continue;
        }
        for slot in entity.members.iter() {
            let Some(version) = shard.evidence(*slot) else { continue };
            identifiers(&version.stored.put().normalized).for_each(|one| take(entity, *slot, one));
        }
    }
}

/// An identifier that shall be in the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wanted {
    pub(super) id: MemberId,
    pub(super) slot: u32,
    /// Which of the record's identifiers.
    at: u16,
}

/// The key of members' ids: the same in every epoch.
pub(super) fn id_key(core: &Core, shard: &Shard) -> Zeroizing<[u8; 32]> {
    Master::new(&core.options.secret).derive(ID_CONTEXT, &shard.name, 0)
}

pub(super) fn padding_key(core: &Core, shard: &Shard, epoch: u32) -> Zeroizing<[u8; 32]> {
    Master::new(&core.options.secret).derive(PADDING_CONTEXT, &shard.name, epoch)
}

fn member_id(key: &[u8; 32], kind: Kind, inner: &Inner) -> MemberId {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&[kind.byte()]).update(&inner.0);
    let mut id = [0; ID_BYTES];
    hasher.finalize_xof().fill(&mut id);
    id
}

/// Everything that shall be in the set, by id, each once: of several records the first, as they stand in the state.
pub(super) fn wanted(core: &Core, shard: &Shard) -> Vec<Wanted> {
    let key = id_key(core, shard);
    let mut found = Vec::new();
    let mut last = (u32::MAX, 0_u16);
    each_findable(shard, |_, slot, one| {
        last = if last.0 == slot { (slot, last.1.saturating_add(1)) } else { (slot, 0) };
        found.push(Wanted { id: member_id(&key, one.kind, &primary(one.text)), slot, at: last.1 });
    });
    found.sort_unstable();
    found.dedup_by_key(|one| one.id);
    found
}

fn inner_of(shard: &Shard, wanted: Wanted) -> Option<(Kind, Inner)> {
    let version = shard.evidence(wanted.slot)?;
    let said = version.stored.put().normalized;
    let one = identifiers(&said).nth(usize::from(wanted.at))?;
    Some((one.kind, primary(one.text)))
}

/// The contact that an identifier of a record leads to, for whoever `told` lets see it: of several that carry it, the
/// one with the oldest record, as exact look-ups do.
pub(super) fn contact_with(
    shard: &Shard,
    identifier: Identifier<'_>,
    told: impl Fn(EntityId) -> Option<EntityId>,
) -> Option<EntityId> {
    let key = match identifier.kind {
        Kind::Phone => phone_key(identifier.indexed),
        Kind::Email => email_key(identifier.indexed),
    };
    let carries = |slot: u32| {
        let version = shard.evidence(slot)?;
        let has = identifiers(&version.stored.put().normalized).any(|one| one == identifier);
        has.then(|| shard.slot(slot)?.entity)?
    };
    let mut slots: Vec<u32> = shard.holders(key).into_iter().map(|(slot, _)| slot).collect();
    slots.sort_unstable();
    slots.into_iter().filter_map(carries).find_map(told)
}

/// What is known already: the outputs of a set, and at the first time those on disk.
pub(super) struct Known {
    outputs: HashMap<MemberId, crate::discovery::oprf::Output, foldhash::fast::RandomState>,
}

impl Known {
    pub(super) fn of(set: &Set) -> Self {
        Self { outputs: set.members().map(|one| (one.id, one.output)).collect() }
    }

    pub(super) fn on_disk(file: &CacheFile) -> (Self, End) {
        let mut outputs = HashMap::default();
        let end = file.read(&mut |(id, output)| {
            outputs.insert(id, output);
        });
        (Self { outputs }, end)
    }
}

/// Makes a set out of what is wanted and known, and evaluates the rest, which is written to disk as it comes. Returns how many
/// were evaluated.
///
/// # Errors
/// `Io` when a thread failed. A disk that cannot take outputs is no error: they are evaluated again after a start.
pub(super) fn make(
    core: &Arc<Core>,
    shard: &Arc<Shard>,
    (wanted, mut known): (&[Wanted], Known),
    (key, bits, padded_min): (&Arc<EpochKey>, u8, usize),
    (file, end): (&CacheFile, &mut End),
) -> Result<(Set, usize)> {
    let missing: Vec<Wanted> = wanted.iter().filter(|one| !known.outputs.contains_key(&one.id)).copied().collect();
    for some in missing.chunks(PIECE * PIECES_SAVED) {
        let pieces = some.chunks(PIECE).map(|piece| piece_of_work(shard, key, piece)).collect();
        let done: Vec<Entry> = core.oprf.pool.run_all(pieces).ok_or_else(failed)?.concat();
        match file.append(*end, &done) {
            Ok(after) => *end = after,
            Err(error) => tracing::warn!(%error, "outputs of oblivious look-ups are not kept; a start makes them anew"),
        }
        known.outputs.extend(done);
        if core.stopping.load(std::sync::atomic::Ordering::Acquire) {
            return Err(Error::Busy { retry_after_ms: 1000 });
        }
    }
    let member = |one: &Wanted| {
        let output = *known.outputs.get(&one.id)?;
        Some(Member { id: one.id, output, slot: one.slot })
    };
    let members = wanted.iter().filter_map(member).collect();
    Ok((Set::new(members, bits, padded_min, padding_key(core, shard, key.epoch())), missing.len()))
}

fn piece_of_work(shard: &Arc<Shard>, key: &Arc<EpochKey>, piece: &[Wanted]) -> Box<dyn FnOnce() -> Vec<Entry> + Send> {
    let (shard, key, piece) = (Arc::clone(shard), Arc::clone(key), piece.to_vec());
    Box::new(move || {
        let evaluate = |one: &Wanted| {
            let (kind, inner) = inner_of(&shard, *one)?;
            Some((one.id, key.output(kind, &inner)?))
        };
        piece.iter().filter_map(evaluate).collect()
    })
}

fn failed() -> Error {
    Error::io("evaluating a directory's identifiers", std::io::Error::other("a thread failed"))
}
