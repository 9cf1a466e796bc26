//! Free-text search: one tantivy index in memory for the whole server.
//!
//! Every term begins with its tenant, so a search walks only its own tenant's terms; what tantivy is asked
//! for is term ranges and postings, never its scores. The order is ours (nearness, field, recency), so
//! nothing of one tenant shows through to another. No text is stored here: highlights are made from the live
//! contact by [`Matcher::highlights`].
//!
//! The index lags behind: [`TextIndex::covered`] says up to which event, and [`Search::newer`] carries the
//! contacts that changed since. It serves queries and never makes an edge. [`TextIndexer`] feeds it from a
//! background thread. What was deleted leaves memory at the next merge; [`TextIndex::purge`] forces one.

mod fold;
mod indexer;
mod matcher;
mod near;
mod search;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tantivy::indexer::{IndexWriterOptions, LogMergePolicy, NoMergePolicy};
use tantivy::schema::{BytesOptions, FAST, Field, Schema};
use tantivy::{Index, IndexReader, IndexWriter, ReloadPolicy, TantivyDocument, TantivyError, Term};

pub use indexer::{TextBatch, TextIndexer};
pub use matcher::{Matcher, QUERY_BYTES_MAX, QUERY_TOKENS_MAX};
pub use search::{NewerDoc, Search, TextHit, TextHits};

use crate::error::{Error, Result};
use crate::model::ids::{EntityId, Millis, Seq, TenantId};

/// Memory for documents that are not committed yet; a full one becomes a segment.
const WRITER_BYTES_MAX: usize = 48 << 20;
/// Distinct terms of a contact at most; what stands later (in notes) is not found.
const TERMS_MAX: usize = 4096;
/// Bytes of a prefix up to which it is a term of its own: so many words start with it that walking them all
/// would be slow.
const SHORT_PREFIX_MAX: usize = 2;
/// Stands before a short prefix; no token has it.
const SHORT_PREFIX_MARK: u8 = 1;
/// Share of deleted documents from which a segment is merged on its own.
const DELETED_RATIO: f32 = 0.3;
/// Documents up to which segments are taken to be of one size. Segments of one size are merged together, so with a large
/// one every few commits would write all of it anew.
const SMALL_SEGMENT: u32 = 500;
/// How often a purge tries again while a merge that began earlier holds a segment.
const PURGE_TRIES_MAX: u32 = 600;

/// A field that is searched. The order is the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TextField {
    /// Names and nicknames.
    Name = 0,
    /// Organisations.
    Organization = 1,
    /// Job titles.
    Title = 2,
    /// Email addresses, whole and in parts.
    Email = 3,
    /// Postal addresses.
    Address = 4,
    /// Notes.
    Note = 5,
    /// Domains of a business, whole and in parts.
    Domain = 6,
    /// Names that a business had before.
    PreviousName = 7,
    /// The industry of a business.
    Industry = 8,
    /// The city of a business.
    City = 9,
}

impl TextField {
    const ALL: [Self; 10] = [
        Self::Name,
        Self::Organization,
        Self::Title,
        Self::Email,
        Self::Address,
        Self::Note,
        Self::Domain,
        Self::PreviousName,
        Self::Industry,
        Self::City,
    ];

    /// The field's name in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Organization => "organization",
            Self::Title => "job_title",
            Self::Email => "emails",
            Self::Address => "addresses",
            Self::Note => "notes",
            Self::Domain => "domain",
            Self::PreviousName => "previous_names",
            Self::Industry => "industry",
            Self::City => "city",
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }
}

/// Set in the number under which the businesses of a tenant have terms of their own; tenants are counted from 1.
const OF_ACCOUNTS: u64 = 1 << 63;

/// Where the businesses of a tenant are indexed, as a tenant of their own: apart from its people, and like them covered up
/// to an event of the tenant.
pub fn accounts_of(tenant: TenantId) -> TenantId {
    TenantId(tenant.0 | OF_ACCOUNTS)
}

/// What a contact or an account is found by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextDoc {
    /// Values as shown to people, in any order, repeats allowed.
    pub values: Vec<(TextField, String)>,
    /// When the contact changed last; breaks ties, the newest first.
    pub updated: Millis,
}

#[derive(Clone, Copy)]
struct Fields {
    /// Tenant and entity for deletes by contact; the tenant alone for deletes by tenant.
    id: Field,
    /// Tenant, token, zero, field; and for prompt answers to short prefixes: tenant, one, prefix, zero, field.
    terms: Field,
    entity_high: Field,
    entity_low: Field,
    updated: Field,
}

/// The server's text index.
pub struct TextIndex {
    index: Index,
    fields: Fields,
    writer: Mutex<IndexWriter>,
    reader: IndexReader,
    covered: RwLock<HashMap<TenantId, Seq>>,
}

impl TextIndex {
    /// An empty index with its writer (a few threads; there is one index for the server).
    ///
    /// # Errors
    /// `Io` if a thread cannot be started.
    pub fn new() -> Result<Self> {
        let mut schema = Schema::builder();
        let fields = Fields {
            id: schema.add_bytes_field("id", BytesOptions::default().set_indexed()),
            terms: schema.add_bytes_field("terms", BytesOptions::default().set_indexed()),
            entity_high: schema.add_u64_field("entity_high", FAST),
            entity_low: schema.add_u64_field("entity_low", FAST),
            updated: schema.add_i64_field("updated", FAST),
        };
        let index = Index::create_in_ram(schema.build());
        let options = IndexWriterOptions::builder()
            .num_worker_threads(1)
            .num_merge_threads(1)
            .memory_budget_per_thread(WRITER_BYTES_MAX)
            .build();
        let writer = index.writer_with_options(options).map_err(failed)?;
        writer.set_merge_policy(merge_policy());
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into().map_err(failed)?;
        Ok(Self { index, fields, writer: Mutex::new(writer), reader, covered: RwLock::default() })
    }

    /// Replaces a contact's document; `None` deletes it. Seen by searches after the next commit.
    ///
    /// # Errors
    /// `Io` if the writer has failed; the index must then be built anew.
    pub fn put(&self, tenant: TenantId, entity: EntityId, doc: Option<&TextDoc>) -> Result<()> {
        let writer = self.writer();
        let id = id_bytes(tenant, entity);
        writer.delete_term(Term::from_field_bytes(self.fields.id, &id));
        if let Some(doc) = doc {
            writer.add_document(self.document(tenant, entity, &id, doc)).map_err(failed)?;
        }
        Ok(())
    }

    /// Deletes all documents of a tenant, its businesses' too, and forgets what was covered. Seen after the next commit.
    pub fn drop_tenant(&self, tenant: TenantId) {
        for part in [tenant, accounts_of(tenant)] {
            self.writer().delete_term(Term::from_field_bytes(self.fields.id, &part.0.to_be_bytes()));
            self.covered.write().unwrap_or_else(PoisonError::into_inner).remove(&part);
        }
    }

    /// Shows everything put so far to searches, then publishes up to which event each tenant is covered.
    ///
    /// # Errors
    /// `Io` if the writer has failed.
    pub fn commit(&self, covered: &[(TenantId, Seq)]) -> Result<()> {
        self.writer().commit().map_err(failed)?;
        self.reader.reload().map_err(failed)?;
        let mut map = self.covered.write().unwrap_or_else(PoisonError::into_inner);
        for (tenant, seq) in covered {
            let at = map.entry(*tenant).or_default();
            *at = (*at).max(*seq);
        }
        Ok(())
    }

    /// The event up to which searches of a tenant see everything; 0 before its first commit. Read it *before*
    /// a search: the search then covers at least as much.
    pub fn covered(&self, tenant: TenantId) -> Seq {
        self.covered.read().unwrap_or_else(PoisonError::into_inner).get(&tenant).copied().unwrap_or_default()
    }

    /// Live documents of all tenants, as of the last commit.
    pub fn len(&self) -> u64 {
        self.reader.searcher().num_docs()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Commits, then rewrites every segment with deleted documents, so that no byte of them remains once
    /// searches under way have ended. Takes seconds on large indexes; call it from the background.
    ///
    /// # Errors
    /// `Io` if the writer has failed, or a merge under way does not end within a minute.
    pub fn purge(&self) -> Result<()> {
        let mut writer = self.writer();
        writer.commit().map_err(failed)?;
        writer.set_merge_policy(Box::new(NoMergePolicy));
        let merged = self.merge_deleted(&mut writer);
        writer.set_merge_policy(merge_policy());
        merged?;
        self.reader.reload().map_err(failed)?;
        writer.garbage_collect_files().wait().map_err(failed)?;
        Ok(())
    }

    fn merge_deleted(&self, writer: &mut IndexWriter) -> Result<()> {
        for _ in 0..PURGE_TRIES_MAX {
            let metas = self.index.searchable_segment_metas().map_err(failed)?;
            let Some(meta) = metas.iter().find(|meta| meta.has_deletes()) else {
                return Ok(());
            };
            if writer.merge(&[meta.id()]).wait().is_err() {
                std::thread::sleep(Duration::from_millis(100)); // an earlier merge holds it
            }
        }
        Err(failed(TantivyError::SystemError("a segment stays locked by a merge".into())))
    }

    fn document(&self, tenant: TenantId, entity: EntityId, id: &[u8], doc: &TextDoc) -> TantivyDocument {
        let mut document = TantivyDocument::new();
        document.add_bytes(self.fields.id, id);
        document.add_bytes(self.fields.id, &tenant.0.to_be_bytes());
        for term in terms(tenant, doc) {
            document.add_bytes(self.fields.terms, &term);
        }
        let (high, low) = halves(entity);
        document.add_u64(self.fields.entity_high, high);
        document.add_u64(self.fields.entity_low, low);
        document.add_i64(self.fields.updated, doc.updated.0);
        document
    }

    fn writer(&self) -> MutexGuard<'_, IndexWriter> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn merge_policy() -> Box<LogMergePolicy> {
    let mut policy = LogMergePolicy::default();
    policy.set_del_docs_ratio_before_merge(DELETED_RATIO);
    policy.set_min_layer_size(SMALL_SEGMENT);
    Box::new(policy)
}

/// The terms of a document, preferred fields first when there are too many.
fn terms(tenant: TenantId, doc: &TextDoc) -> BTreeSet<Vec<u8>> {
    let mut values: Vec<_> = doc.values.iter().collect();
    values.sort_by_key(|(field, _)| *field);
    let mut terms = BTreeSet::new();
    for (field, value) in values {
        for token in matcher::tokens_of(*field, value) {
            if terms.len() >= TERMS_MAX {
                return terms;
            }
            terms.insert(term_bytes(tenant, &token.text, *field));
            let starts = (1..=SHORT_PREFIX_MAX).filter_map(|end| token.text.get(..end));
            terms.extend(starts.map(|start| short_prefix_bytes(tenant, start, *field)));
        }
    }
    terms
}

fn term_bytes(tenant: TenantId, token: &str, field: TextField) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(token.len() + 10);
    bytes.extend_from_slice(&tenant.0.to_be_bytes());
    bytes.extend_from_slice(token.as_bytes());
    bytes.extend_from_slice(&[0, field as u8]);
    bytes
}

fn short_prefix_bytes(tenant: TenantId, start: &str, field: TextField) -> Vec<u8> {
    [tenant.0.to_be_bytes().as_slice(), &[SHORT_PREFIX_MARK], start.as_bytes(), &[0, field as u8]].concat()
}

fn id_bytes(tenant: TenantId, entity: EntityId) -> Vec<u8> {
    [tenant.0.to_be_bytes().as_slice(), &entity.0.to_be_bytes()].concat()
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is meant")]
fn halves(entity: EntityId) -> (u64, u64) {
    ((entity.0 >> 64) as u64, entity.0 as u64)
}

fn failed(error: TantivyError) -> Error {
    Error::io("text index", std::io::Error::other(error))
}

#[cfg(test)]
mod tests;
