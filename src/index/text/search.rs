//! One search: walk the tenant's terms, intersect postings, keep the best page.

use std::collections::{BinaryHeap, HashMap};
use std::fmt::Write as _;

use tantivy::postings::TermInfo;
use tantivy::schema::IndexRecordOption;
use tantivy::termdict::TermDictionary;
use tantivy::{DocId, DocSet, SegmentReader, TERMINATED};
use tantivy_fst::Automaton;

use super::matcher::{self, Matcher};
use super::near::{Nearness, Pattern, State};
use super::{Fields, SHORT_PREFIX_MAX, TextDoc, TextField, TextIndex, failed, short_prefix_bytes, term_bytes};
use crate::error::{Error, Result};
use crate::model::ids::{EntityId, Millis, TenantId};
use crate::model::key::{Key, KeyKind};

/// Postings up to this length are walked in full when intersecting; longer ones are skipped through.
const WALK_MAX: u32 = 256;

/// A contact that changed after the index was committed: its document now, `None` if it is gone.
pub type NewerDoc = (EntityId, Option<TextDoc>);

/// What to search.
pub struct Search<'a> {
    /// The words.
    pub q: &'a str,
    /// Hits in a page, at least 1.
    pub limit: usize,
    /// `next` of the page before; missing: the first page.
    pub cursor: Option<&'a str>,
    /// Contacts that changed since [`TextIndex::covered`]; the last word on a contact counts.
    pub newer: &'a [NewerDoc],
    /// Whether a contact passes the caller's filters. Asked only of contacts that match and would make the page.
    pub keep: &'a dyn Fn(EntityId) -> bool,
}

/// One contact found. Orders as results are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TextHit {
    /// 0 is the best; comparable within one query only.
    pub rank: u32,
    /// When it changed, negated by the type so that the newest comes first.
    updated: std::cmp::Reverse<i64>,
    /// The contact.
    pub entity: EntityId,
}

impl TextHit {
    /// When the contact changed last.
    pub fn updated(&self) -> Millis {
        Millis(self.updated.0)
    }
}

/// A page of hits.
#[derive(Clone, Debug)]
pub struct TextHits {
    /// The best first.
    pub hits: Vec<TextHit>,
    /// Cursor of the next page, if there is one.
    pub next: Option<String>,
    /// The parsed query, for highlights.
    pub matcher: Matcher,
}

impl TextIndex {
    /// Searches one tenant.
    ///
    /// # Errors
    /// `Invalid` names `q`, `limit` or `cursor`; `Io` if the index cannot be read.
    pub fn search(&self, tenant: TenantId, search: &Search<'_>) -> Result<TextHits> {
        if search.limit == 0 {
            return Err(Error::invalid("limit", "must be at least 1"));
        }
        let matcher = Matcher::parse(search.q)?;
        let after = search.cursor.map(|cursor| read_cursor(cursor, tenant, search.q)).transpose()?;
        let newer: HashMap<EntityId, Option<&TextDoc>> =
            search.newer.iter().map(|(entity, doc)| (*entity, doc.as_ref())).collect();
        if let Some(exact) = matcher.without_edits() {
            let page = self.best_page(tenant, search, &newer, &exact, after)?;
            if page.is_full() {
                return Ok(page.finish(tenant, search, matcher)); // edits would only find what comes later
            }
        }
        let page = self.best_page(tenant, search, &newer, &matcher, after)?;
        Ok(page.finish(tenant, search, matcher))
    }

    fn best_page(
        &self,
        tenant: TenantId,
        search: &Search<'_>,
        newer: &HashMap<EntityId, Option<&TextDoc>>,
        matcher: &Matcher,
        after: Option<TextHit>,
    ) -> Result<Page> {
        let mut page = Page { after, room: search.limit.saturating_add(1), best: BinaryHeap::new() };
        for (entity, doc) in newer {
            if let Some(doc) = doc
                && let Some(rank) = matcher.rank(doc)
            {
                page.offer(hit(rank, doc.updated.0, *entity), search.keep);
            }
        }
        let keep = |entity: EntityId| !newer.contains_key(&entity) && (search.keep)(entity);
        for segment in self.reader.searcher().segment_readers() {
            search_segment(segment, &self.fields, tenant, matcher, &mut page, &keep).map_err(failed)?;
        }
        Ok(page)
    }
}

fn hit(rank: u32, updated: i64, entity: EntityId) -> TextHit {
    TextHit { rank, updated: std::cmp::Reverse(updated), entity }
}

/// The best hits after the cursor, one more than fit on the page.
struct Page {
    after: Option<TextHit>,
    room: usize,
    best: BinaryHeap<TextHit>,
}

impl Page {
    fn is_full(&self) -> bool {
        self.best.len() >= self.room
    }

    fn offer(&mut self, hit: TextHit, keep: impl Fn(EntityId) -> bool) {
        let full = self.is_full();
        let too_late = full && self.best.peek().is_some_and(|worst| hit >= *worst);
        let too_early = self.after.is_some_and(|after| hit <= after);
        if too_late || too_early || !keep(hit.entity) {
            return;
        }
        self.best.push(hit);
        if full {
            self.best.pop();
        }
    }

    fn finish(self, tenant: TenantId, search: &Search<'_>, matcher: Matcher) -> TextHits {
        let mut hits = self.best.into_sorted_vec();
        let more = hits.len() > search.limit;
        hits.truncate(search.limit);
        let next = hits.last().filter(|_| more).map(|last| write_cursor(last, tenant, search.q));
        TextHits { hits, next, matcher }
    }
}

fn query_key(tenant: TenantId, q: &str) -> u64 {
    Key::new(KeyKind::Compound, 0, &[&tenant.0.to_string(), q]).0
}

fn write_cursor(last: &TextHit, tenant: TenantId, q: &str) -> String {
    let mut text = String::with_capacity(72);
    // writing to a String cannot fail
    let _ = write!(
        text,
        "{:016x}{:08x}{:016x}{:032x}",
        query_key(tenant, q),
        last.rank,
        last.updated.0.cast_unsigned(),
        last.entity.0
    );
    text
}

fn read_cursor(cursor: &str, tenant: TenantId, q: &str) -> Result<TextHit> {
    let parse = || {
        if cursor.len() != 72 || !cursor.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let number = |from, to| u64::from_str_radix(cursor.get(from..to)?, 16).ok();
        let rank = u32::from_str_radix(cursor.get(16..24)?, 16).ok()?;
        let entity = EntityId(u128::from_str_radix(cursor.get(40..72)?, 16).ok()?);
        let same = number(0, 16)? == query_key(tenant, q);
        same.then_some(hit(rank, number(24, 40)?.cast_signed(), entity))
    };
    parse().ok_or_else(|| Error::invalid("cursor", "is not from this query; start again without it"))
}

/// The terms of one tenant that are near an asked token, as tantivy walks them.
struct NearTerms<'a> {
    tenant: [u8; 8],
    pattern: &'a Pattern,
}

/// Where a walk stands in a term: its tenant, its token, its field.
#[derive(Clone)]
enum Walk {
    Tenant(usize),
    Token(State),
    Field(bool),
    Done,
    Lost,
}

impl Automaton for NearTerms<'_> {
    type State = Walk;

    fn start(&self) -> Walk {
        Walk::Tenant(0)
    }

    fn is_match(&self, state: &Walk) -> bool {
        matches!(state, Walk::Done)
    }

    fn can_match(&self, state: &Walk) -> bool {
        match state {
            Walk::Tenant(_) | Walk::Done => true,
            Walk::Token(state) => self.pattern.hopeful(state),
            Walk::Field(near) => *near,
            Walk::Lost => false,
        }
    }

    fn accept(&self, state: &Walk, byte: u8) -> Walk {
        match state {
            Walk::Tenant(at) if self.tenant.get(*at) != Some(&byte) => Walk::Lost,
            Walk::Tenant(at) if at + 1 == self.tenant.len() => Walk::Token(self.pattern.start()),
            Walk::Tenant(at) => Walk::Tenant(at + 1),
            Walk::Token(state) if byte == 0 => Walk::Field(self.pattern.nearness(state).is_some()),
            Walk::Token(_) if !byte.is_ascii_graphic() => Walk::Lost,
            Walk::Token(state) => Walk::Token(self.pattern.step(state, byte)),
            Walk::Field(true) => Walk::Done,
            Walk::Field(false) | Walk::Done | Walk::Lost => Walk::Lost,
        }
    }
}

/// Terms near one asked token, each with its cost.
type Expansion = Vec<(u32, TermInfo)>;

fn search_segment(
    segment: &SegmentReader,
    fields: &Fields,
    tenant: TenantId,
    matcher: &Matcher,
    page: &mut Page,
    keep: &dyn Fn(EntityId) -> bool,
) -> tantivy::Result<()> {
    let inverted = segment.inverted_index(fields.terms)?;
    let mut expansions = Vec::with_capacity(matcher.patterns().len());
    for pattern in matcher.patterns() {
        let expansion = expand(inverted.terms(), tenant, pattern)?;
        if expansion.is_empty() {
            return Ok(());
        }
        expansions.push(expansion);
    }
    expansions.sort_by_key(|terms| terms.iter().map(|(_, info)| u64::from(info.doc_freq)).sum::<u64>());
    let mut found: Option<Vec<(DocId, u32)>> = None;
    for expansion in &expansions {
        found = Some(match found {
            None => gather(&inverted, expansion)?,
            Some(docs) => narrow(&inverted, expansion, docs)?,
        });
    }
    offer_all(segment, &found.unwrap_or_default(), page, keep)
}

fn expand(terms: &TermDictionary, tenant: TenantId, pattern: &Pattern) -> tantivy::Result<Expansion> {
    if pattern.is_prefix() && pattern.text().len() <= SHORT_PREFIX_MAX {
        return expand_short(terms, tenant, pattern.text());
    }
    let walk = NearTerms { tenant: tenant.0.to_be_bytes(), pattern };
    let mut stream = terms.search(&walk).into_stream()?;
    let mut expansion = Vec::new();
    while let Some((key, info)) = stream.next() {
        if let Some(cost) = term_cost(key, pattern) {
            expansion.push((cost, info.clone()));
        }
    }
    Ok(expansion)
}

/// The terms of a prefix that is a term itself. Too short for edits.
fn expand_short(terms: &TermDictionary, tenant: TenantId, start: &str) -> tantivy::Result<Expansion> {
    let mut expansion = Vec::new();
    for field in TextField::ALL {
        let whole = (Nearness::Exact, term_bytes(tenant, start, field));
        for (nearness, key) in [whole, (Nearness::Prefix, short_prefix_bytes(tenant, start, field))] {
            expansion.extend(terms.get(key)?.map(|info| (matcher::cost(nearness, field), info)));
        }
    }
    Ok(expansion)
}

fn term_cost(key: &[u8], pattern: &Pattern) -> Option<u32> {
    let (token, end) = key.get(8..)?.split_at_checked(key.len().checked_sub(10)?)?;
    let field = TextField::from_byte(*end.last()?)?;
    let nearness: Nearness = pattern.compare(std::str::from_utf8(token).ok()?)?;
    Some(matcher::cost(nearness, field))
}

/// All documents of some terms with their lowest cost, in order.
fn gather(inverted: &tantivy::InvertedIndexReader, expansion: &Expansion) -> tantivy::Result<Vec<(DocId, u32)>> {
    let mut docs = Vec::new();
    let Some((_, first)) = expansion.first() else { return Ok(docs) };
    let mut block = inverted.read_block_postings_from_terminfo(first, IndexRecordOption::Basic)?;
    for (cost, info) in expansion {
        inverted.reset_block_postings_from_terminfo(info, &mut block)?;
        while !block.docs().is_empty() {
            docs.extend(block.docs().iter().map(|doc| (*doc, *cost)));
            block.advance();
        }
    }
    docs.sort_unstable();
    docs.dedup_by_key(|(doc, _)| *doc);
    Ok(docs)
}

/// Those of `docs` that also have one of these terms, the lowest cost added.
fn narrow(
    inverted: &tantivy::InvertedIndexReader,
    expansion: &Expansion,
    docs: Vec<(DocId, u32)>,
) -> tantivy::Result<Vec<(DocId, u32)>> {
    let mut costs: Vec<Option<u32>> = vec![None; docs.len()];
    for (cost, info) in expansion {
        let mut note = |at: usize| {
            if let Some(best) = costs.get_mut(at) {
                *best = Some(best.map_or(*cost, |best| best.min(*cost)));
            }
        };
        let mut postings = inverted.read_postings_from_terminfo(info, IndexRecordOption::Basic)?;
        if info.doc_freq <= WALK_MAX {
            while postings.doc() != TERMINATED {
                if let Ok(at) = docs.binary_search_by_key(&postings.doc(), |(doc, _)| *doc) {
                    note(at);
                }
                postings.advance();
            }
            continue;
        }
        for (at, (doc, _)) in docs.iter().enumerate() {
            if postings.doc() < *doc {
                postings.seek(*doc);
            }
            if postings.doc() == *doc {
                note(at);
            }
        }
    }
    let both = docs.into_iter().zip(costs);
    Ok(both.filter_map(|((doc, sum), cost)| Some((doc, sum + cost?))).collect())
}

fn offer_all(
    segment: &SegmentReader,
    docs: &[(DocId, u32)],
    page: &mut Page,
    keep: &dyn Fn(EntityId) -> bool,
) -> tantivy::Result<()> {
    if docs.is_empty() {
        return Ok(());
    }
    let fast = segment.fast_fields();
    let (high, low, updated) = (fast.u64("entity_high")?, fast.u64("entity_low")?, fast.i64("updated")?);
    for (doc, rank) in docs.iter().filter(|(doc, _)| !segment.is_deleted(*doc)) {
        if let (Some(high), Some(low), Some(updated)) = (high.first(*doc), low.first(*doc), updated.first(*doc)) {
            let entity = EntityId(u128::from(high) << 64 | u128::from(low));
            page.offer(hit(*rank, updated, entity), keep);
        }
    }
    Ok(())
}
