//! Restrictions, checks of identifiers and what the controller declares as snapshot chunks, and back. FROZEN types, as all of
//! `state`.

use std::sync::Arc;

use rkyv::{Archive, Deserialize, Serialize};

use crate::model::event::v1::PurposeV1;
use crate::model::ids::{EntityId, Millis, RecordId, Seq};
use crate::model::settings::Privacy as Declared;
use crate::store::privacy::{Check, CheckKind, Moment};
use crate::store::shard::Shard;

/// The restricted records of one wall.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct WallV1 {
    pub record_id: u128,
    pub contact: u128,
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct RestrictionV1 {
    pub contact: u128,
    pub seq: u64,
    pub restricted: bool,
    pub reason: Option<String>,
    pub at: i64,
    pub actor: String,
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct CheckV1 {
    pub identifier: String,
    pub kind: u8,
    pub good: bool,
    pub detail: String,
    pub at: i64,
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct ChecksV1 {
    pub record_id: u128,
    pub checks: Vec<CheckV1>,
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct DeclaredV1 {
    pub controller: String,
    pub contact: String,
    pub purposes: Vec<PurposeV1>,
    pub subjects: Vec<String>,
    pub third_countries: String,
    pub audit_days: u32,
}

pub(super) fn declared_out(declared: &Declared) -> DeclaredV1 {
    let Declared { controller, contact, purposes, subjects, third_countries, audit_days } = declared.clone();
    let purposes = purposes.into_iter().map(PurposeV1::from).collect();
    DeclaredV1 { controller, contact, purposes, subjects, third_countries, audit_days }
}

pub(super) fn declared_in(stored: DeclaredV1) -> Declared {
    let DeclaredV1 { controller, contact, purposes, subjects, third_countries, audit_days } = stored;
    let purposes = purposes.into_iter().map(Into::into).collect();
    Declared { controller, contact, purposes, subjects, third_countries, audit_days }
}

/// The walls, by record.
pub(super) fn walls_out(shard: &Shard) -> Vec<WallV1> {
    let mut walls: Vec<WallV1> =
        shard.privacy.walls().map(|(record, contact)| WallV1 { record_id: record.0, contact: contact.0 }).collect();
    walls.sort_unstable_by_key(|wall| wall.record_id);
    walls
}

/// The restrictions and their ends, in order.
pub(super) fn moments_out(shard: &Shard) -> Vec<RestrictionV1> {
    let all = shard.privacy.all_moments().flat_map(|(contact, list)| list.iter().map(move |one| (contact, one)));
    let mut all: Vec<RestrictionV1> = all
        .map(|(contact, one)| RestrictionV1 {
            contact: contact.0,
            seq: one.seq.0,
            restricted: one.restricted,
            reason: one.reason.clone(),
            at: one.at.0,
            actor: one.actor.clone(),
        })
        .collect();
    all.sort_unstable_by_key(|one| one.seq);
    all
}

/// What was found out about identifiers, by record.
pub(super) fn checks_out(shard: &Shard) -> Vec<ChecksV1> {
    let check = |one: &Check| CheckV1 {
        identifier: one.identifier.clone(),
        kind: one.kind as u8,
        good: one.good,
        detail: one.detail.clone(),
        at: one.at.0,
    };
    let one = |(record, list): (&RecordId, &Arc<Vec<Check>>)| ChecksV1 {
        record_id: record.0,
        checks: list.iter().map(check).collect(),
    };
    let mut all: Vec<ChecksV1> = shard.privacy.all_checks().map(one).collect();
    all.sort_unstable_by_key(|one| one.record_id);
    all
}

impl Shard {
    pub(super) fn restore_wall(&mut self, stored: &WallV1) {
        self.privacy.wall(RecordId(stored.record_id), EntityId(stored.contact));
    }

    pub(super) fn restore_restriction(&mut self, stored: RestrictionV1) {
        let RestrictionV1 { contact, seq, restricted, reason, at, actor } = stored;
        self.privacy.note(EntityId(contact), Moment { seq: Seq(seq), restricted, reason, at: Millis(at), actor });
    }

    pub(super) fn restore_checks(&mut self, stored: ChecksV1) {
        let check = |one: CheckV1| Check {
            identifier: one.identifier,
            kind: CheckKind::from_number(one.kind),
            good: one.good,
            detail: one.detail,
            at: Millis(one.at),
        };
        let checks = stored.checks.into_iter().map(check).collect();
        self.privacy.restore_checks(RecordId(stored.record_id), checks);
    }
}
