//! What was put, packed: a few hundred bytes in one piece instead of forty fields and as many allocations.
//!
//! Most of a tenant's memory are words of sources that nobody reads until a contact is shown, so they are kept as bytes
//! ([postcard](https://docs.rs/postcard): no field names, no padding) and unpacked for a reader, in about a microsecond.
//! What deciding and finding need of every record stays beside them, unpacked: see [`Version`](crate::store::shard::Version).
//! The bytes are this build's; the journal and snapshots have forms of their own, and a snapshot keeps these beside them for
//! the same build only ([`derived`](crate::store::derived)).
//!
//! Normalising mostly finds what the source wrote: the same name, an address in lower case. Such copies are left out of
//! the bytes and made anew, see [`Same`].

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::event::RecordPut;
use crate::model::event::v1::ArchivedRecordPutV1;
use crate::model::ids::{EntityId, Millis, RecordId, RecordKey, Seq};
use crate::model::normalized::{Name, NormEmail, Normalized};
use crate::model::record::{Fields, Record};
use crate::store::shard::BusinessVersion;

/// One put, packed.
#[derive(Debug)]
pub struct Stored {
    /// The record it is of.
    pub record_id: RecordId,
    /// The record's own name.
    pub key: RecordKey,
    /// The event that put it.
    pub seq: Seq,
    /// Digest of the content.
    pub content_hash: u128,
    /// When it was received.
    pub received_at: Millis,
    /// Older than what was stored: for history only.
    pub stale: bool,
    /// An edit by hand: no evidence.
    pub manual: bool,
    /// What only a business has; missing: a person's record.
    pub business: Option<Arc<BusinessVersion>>,
    form: Form,
}

/// How a put is kept.
#[derive(Debug)]
enum Form {
    Packed(Box<[u8]>),
    /// One that is only asked about, and gone when it is answered.
    Whole(Box<RecordPut>),
}

/// One put, unpacked for reading.
#[derive(Clone, Debug)]
pub struct Opened {
    /// What was put.
    pub put: RecordPut,
    /// The event that put it.
    pub seq: Seq,
    /// What only a business has; missing: a person's record.
    pub business: Option<Arc<BusinessVersion>>,
}

impl Stored {
    /// Packs a put.
    pub fn new(put: &RecordPut, seq: Seq, business: Option<Arc<BusinessVersion>>) -> Self {
        Self {
            record_id: put.record_id,
            key: put.record.key.clone(),
            seq,
            content_hash: put.content_hash,
            received_at: put.received_at,
            stale: put.stale,
            manual: put.anchor.is_some(),
            business,
            form: Form::Packed(pack(put)),
        }
    }

    /// Keeps a put that is only asked about, as it is.
    pub fn asked(put: RecordPut, seq: Seq) -> Self {
        Self {
            record_id: put.record_id,
            key: put.record.key.clone(),
            seq,
            content_hash: put.content_hash,
            received_at: put.received_at,
            stale: put.stale,
            manual: put.anchor.is_some(),
            business: None,
            form: Form::Whole(Box::new(put)),
        }
    }

    /// A put of a person's record whose bytes were kept. They must be those of this very put, packed by this very build.
    pub(in crate::store) fn kept(put: &ArchivedRecordPutV1, seq: Seq, bytes: &[u8]) -> Self {
        let key = &put.record.key;
        Self {
            record_id: RecordId(put.record_id.to_native()),
            key: RecordKey { source: (*key.source).into(), source_record_id: (*key.source_record_id).into() },
            seq,
            content_hash: put.content_hash.to_native(),
            received_at: Millis(put.received_at.to_native()),
            stale: put.stale,
            manual: put.anchor.is_some(),
            business: None,
            form: Form::Packed(bytes.into()),
        }
    }

    /// What was put, packed; of a question, which is never written, nothing.
    pub(in crate::store) fn bytes(&self) -> &[u8] {
        match &self.form {
            Form::Packed(bytes) => bytes,
            Form::Whole(_) => &[],
        }
    }

    /// What was put.
    pub fn put(&self) -> RecordPut {
        let bytes = match &self.form {
            Form::Packed(bytes) => bytes,
            Form::Whole(put) => return (**put).clone(),
        };
        let packed: PackedIn = postcard::from_bytes(bytes).expect("bytes of this build are as this build packed them");
        let PackedIn { same, fields, mut normalized, mails, rest } = packed;
        normalized.emails = mails.into_iter().map(NormEmail::from).collect();
        same.fill_in(&fields, &mut normalized.name);
        let Rest { source_updated_at, version, actor, anchor, suppressed } = rest;
        RecordPut {
            record_id: self.record_id,
            record: Record { key: self.key.clone(), source_updated_at: source_updated_at.map(Millis), version, fields },
            normalized,
            content_hash: self.content_hash,
            received_at: self.received_at,
            actor,
            stale: self.stale,
            anchor: anchor.map(EntityId),
            suppressed,
        }
    }

    /// What was put, with what belongs to it.
    pub fn open(&self) -> Opened {
        Opened { put: self.put(), seq: self.seq, business: self.business.clone() }
    }

    /// The contact that an edit by hand is of; `None`: a source said it.
    pub fn anchor(&self) -> Option<EntityId> {
        if self.manual { self.put().anchor } else { None }
    }

    /// Bytes on the heap, without what is shared.
    pub fn heap_bytes(&self) -> usize {
        let bytes = match &self.form {
            Form::Packed(bytes) => bytes.len(),
            Form::Whole(_) => size_of::<RecordPut>(),
        };
        bytes + self.key.source.len() + self.key.source_record_id.len()
    }
}

fn pack(put: &RecordPut) -> Box<[u8]> {
    let RecordPut { record, normalized, actor, anchor, suppressed, .. } = put;
    let mut normalized = normalized.clone();
    let mails: Vec<Mail> = normalized.emails.drain(..).map(Mail::from).collect();
    let same = Same::cut_out(&record.fields, &mut normalized.name);
    let rest = Rest {
        source_updated_at: record.source_updated_at.map(|at| at.0),
        version: record.version,
        actor: actor.clone(),
        anchor: anchor.map(|id| id.0),
        suppressed: suppressed.clone(),
    };
    let packed = PackedOut { same, fields: &record.fields, normalized: &normalized, mails: &mails, rest: &rest };
    postcard::to_allocvec(&packed).expect("packing into memory does not fail").into_boxed_slice()
}

#[derive(Serialize)]
struct PackedOut<'a> {
    same: Same,
    fields: &'a Fields,
    /// Without emails and without what `same` makes anew.
    normalized: &'a Normalized,
    mails: &'a [Mail],
    rest: &'a Rest,
}

#[derive(Deserialize)]
struct PackedIn {
    same: Same,
    fields: Fields,
    normalized: Normalized,
    mails: Vec<Mail>,
    rest: Rest,
}

#[derive(Serialize, Deserialize)]
struct Rest {
    source_updated_at: Option<i64>,
    version: Option<u64>,
    actor: String,
    anchor: Option<u128>,
    suppressed: Vec<(String, String)>,
}

/// Which parts of a read name are what the source wrote, or follow from other parts.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Same(u8);

impl Same {
    const FIRST: u8 = 1;
    const LAST: u8 = 2;
    const FIRST_TOKENS: u8 = 4;
    const LAST_TOKENS: u8 = 8;
    const OWN_SCRIPT: u8 = 16;

    /// Takes out of a name what [`Same::fill_in`] can make anew.
    fn cut_out(fields: &Fields, name: &mut Name) -> Self {
        let mut same = 0;
        // In the order of dependence, the last first: each is compared with what it will be made from.
        if name.own_script == own_script(name) && !name.own_script.is_empty() {
            same |= Self::OWN_SCRIPT;
            name.own_script.clear();
        }
        if is_folded(&name.last_tokens, name.last.as_deref()) {
            same |= Self::LAST_TOKENS;
            name.last_tokens.clear();
        }
        if is_folded(&name.first_tokens, name.first.as_deref()) {
            same |= Self::FIRST_TOKENS;
            name.first_tokens.clear();
        }
        if name.last.is_some() && name.last == fields.last_name {
            same |= Self::LAST;
            name.last = None;
        }
        if name.first.is_some() && name.first == fields.first_name {
            same |= Self::FIRST;
            name.first = None;
        }
        Self(same)
    }

    fn fill_in(self, fields: &Fields, name: &mut Name) {
        let has = |bit: u8| self.0 & bit != 0;
        if has(Self::FIRST) {
            name.first.clone_from(&fields.first_name);
        }
        if has(Self::LAST) {
            name.last.clone_from(&fields.last_name);
        }
        if has(Self::FIRST_TOKENS) {
            name.first_tokens = folded(name.first.as_deref());
        }
        if has(Self::LAST_TOKENS) {
            name.last_tokens = folded(name.last.as_deref());
        }
        if has(Self::OWN_SCRIPT) {
            name.own_script = own_script(name);
        }
    }
}

/// The words of a name in lower-case ASCII.
fn folded(name: Option<&str>) -> Vec<String> {
    name.unwrap_or_default().split(' ').map(str::to_ascii_lowercase).collect()
}

/// Whether tokens are what [`folded`] makes of a name.
fn is_folded(tokens: &[String], name: Option<&str>) -> bool {
    let words = name.unwrap_or_default().split(' ');
    !tokens.is_empty()
        && words.clone().count() == tokens.len()
        && words.zip(tokens).all(|(word, token)| word.to_ascii_lowercase() == *token)
}

/// Given, middle and family name in lower case: what a name is in its own script if there is nothing else to it.
fn own_script(name: &Name) -> String {
    let parts: Vec<&str> = [&name.first, &name.middle, &name.last].into_iter().flatten().map(String::as_str).collect();
    parts.join(" ").to_lowercase()
}

/// An address, of which most parts are parts of one text.
#[derive(Serialize, Deserialize)]
struct Mail {
    canonical: String,
    /// Missing: the canonical form.
    delivered: Option<String>,
    /// User and domain; missing: what stands before and after the last `@`.
    parts: Option<(String, String)>,
    flags: u8,
}

impl From<NormEmail> for Mail {
    fn from(mail: NormEmail) -> Self {
        let NormEmail { delivered, canonical, user, domain, free, role, valid } = mail;
        let is_split = canonical.rsplit_once('@').is_some_and(|(left, right)| left == user && right == domain);
        Self {
            delivered: Some(delivered).filter(|delivered| *delivered != canonical),
            parts: (!is_split).then_some((user, domain)),
            flags: u8::from(free) | u8::from(role) << 1 | u8::from(valid) << 2,
            canonical,
        }
    }
}

impl From<Mail> for NormEmail {
    fn from(mail: Mail) -> Self {
        let Mail { canonical, delivered, parts, flags } = mail;
        let (user, domain) = parts.unwrap_or_else(|| {
            let (user, domain) = canonical.rsplit_once('@').unwrap_or_default();
            (user.to_owned(), domain.to_owned())
        });
        Self {
            delivered: delivered.unwrap_or_else(|| canonical.clone()),
            canonical,
            user,
            domain,
            free: flags & 1 != 0,
            role: flags & 2 != 0,
            valid: flags & 4 != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::Email;
    use crate::model::settings::Settings;
    use crate::normalize::{Normalizer, Rules};
    use proptest::prelude::*;

    fn put(fields: Fields) -> RecordPut {
        let normalizer = Normalizer::new(Rules::from_settings(&Settings::default()));
        let (normalized, _) = normalizer.normalize(&fields);
        RecordPut {
            record_id: RecordId(7),
            record: Record {
                key: RecordKey { source: "crm".into(), source_record_id: "a-1".into() },
                source_updated_at: Some(Millis(-5)),
                version: Some(9),
                fields,
            },
            normalized,
            content_hash: u128::MAX - 3,
            received_at: Millis(1_800_000_000_000),
            actor: "somebody".into(),
            stale: true,
            anchor: Some(EntityId(3)),
            suppressed: vec![("emails".into(), "a@b.example".into())],
        }
    }

    proptest! {
        /// Whatever was put is what a reader gets, also where the name was cut out and made anew.
        #[test]
        fn unpacked_is_what_was_put(
            first in "([A-Z][a-z]{0,8}( [A-Za-z]{1,5})?)|\\PC{0,12}",
            last in "([A-Za-z'-]{1,10})|\\PC{0,12}",
            name in prop::option::of("\\PC{0,24}"),
            mail in "([A-Za-z.+]{1,10}@[a-z]{1,8}\\.(com|example))|\\PC{0,16}",
        ) {
            let fields = Fields {
                name,
                first_name: Some(first),
                last_name: Some(last),
                emails: vec![Email { value: mail, confidence: Some(0.25), ..Email::default() }],
                is_me: Some(false),
                ..Fields::default()
            };
            let put = put(fields);
            prop_assert_eq!(Stored::new(&put, Seq(1), None).put(), put.clone());
            prop_assert_eq!(Stored::asked(put.clone(), Seq(1)).put(), put);
        }
    }

    #[test]
    fn an_ordinary_record_takes_little() {
        let fields = Fields {
            first_name: Some("Robert".into()),
            last_name: Some("Smith".into()),
            emails: vec![Email { value: "Robert.Smith@mail.example.com".into(), ..Email::default() }],
            organization: Some("Example Widgets Inc".into()),
            ..Fields::default()
        };
        let mut put = put(fields);
        (put.anchor, put.suppressed) = (None, Vec::new());
        let bytes = Stored::new(&put, Seq(1), None).heap_bytes();
        assert!(bytes < 300, "{bytes} bytes");
    }
}
