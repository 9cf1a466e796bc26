//! Background work: snapshots, and feeding the text index behind the published views.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

use crate::engine::accounts::{AccountFilter, AccountHit};
use crate::engine::api::{Page, SearchHit, SearchQuery};
use crate::engine::commit::{Job, Mark};
use crate::engine::parking::{self, Resting};
use crate::engine::recover::{snapshot_dir, spawn};
use crate::engine::{Core, SnapshotReport, Tenant, View, lock};
use crate::error::{Error, Result};
use crate::host::let_others_go_first;
use crate::index::text::{Search, TextBatch, TextDoc, TextField, TextIndex, TextIndexer, accounts_of};
use crate::journal::{self, Snapshot, SnapshotWriter};
use crate::model::ids::{EntityId, Millis, Seq, TenantId};
use crate::model::record::Fields;
use crate::resolve::account::golden_account;
use crate::resolve::survive::Rules;
use crate::store::apply::is_live;
use crate::store::shard::{Feed, Shard};
use crate::store::state;

/// Contacts of one batch for the text index.
const TEXT_BATCH: usize = 1000;
/// How long the feed waits for further changes before it looks at the first: the text index gathers for longer than this
/// anyway, and waking a thread for every write would take from the writers.
const TEXT_REST: Duration = Duration::from_millis(20);
/// Changed contacts, newer than the text index, that a search looks at itself.
const NEWER_MAX: usize = 2000;

/// Writes a snapshot of the state as of the last durable frame. The caller holds `Core::files`.
pub(crate) fn snapshot(core: &Core, jobs: &Sender<Job>) -> Result<SnapshotReport> {
    let started = core.world.clock.monotonic();
    let (reply, answer) = bounded(1);
    jobs.send(Job::Mark(reply)).map_err(|_| Error::Poisoned)?;
    let Mark { seq, journaled, blocked } = answer.recv().map_err(|_| Error::Poisoned)?;
    let written = write_snapshot(core, seq, views_as_marked(core));
    let (path, bytes) = written.inspect_err(|_| core.upkeep.add(journaled))?;
    core.upkeep.written(bytes);
    let millis = millis(core.world.clock.monotonic() - started);
    let blocked_micros = u64::try_from(blocked.as_micros()).unwrap_or(u64::MAX);
    tracing::info!(seq, bytes, millis, blocked_micros, "snapshot written");
    if let Err(error) = retire(core, jobs) {
        tracing::error!(%error, "old journal segments stay where they are; it is tried again after the next snapshot");
    }
    Ok(SnapshotReport { seq, bytes, millis, blocked_micros, path })
}

/// Lets the journal's segments go that are older than they are kept and that every kept snapshot stands for.
fn retire(core: &Core, jobs: &Sender<Job>) -> Result<()> {
    let Some(keep) = core.options.journal_keep else { return Ok(()) };
    let (reply, answer) = bounded(1);
    jobs.send(Job::Segments(reply)).map_err(|_| Error::Poisoned)?;
    let segments = answer.recv().map_err(|_| Error::Poisoned)?;
    let keep_ms = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
    let before = Millis(core.now().0.saturating_sub(keep_ms));
    let archive = core.options.journal_archive_dir.as_deref();
    let retired = journal::retire(&*core.world.disk, &core.options.data_dir, &segments, before, archive);
    // Also when it stopped midway: what is gone is gone.
    let left = segments.iter().find(|segment| matches!(core.world.disk.exists(&segment.file), Ok(true)));
    if let Some(first) = left {
        jobs.send(Job::Forget(first.base_seq)).map_err(|_| Error::Poisoned)?;
    }
    let retired = retired?;
    if retired.segments > 0 {
        let archived = archive.is_some();
        tracing::info!(segments = retired.segments, bytes = retired.bytes, archived, "old journal segments have left");
    }
    Ok(())
}

fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

/// Every tenant's view as of the mark, by number. Ends the keeping of views.
pub(super) fn views_as_marked(core: &Core) -> Vec<(TenantId, Arc<Shard>)> {
    // Each view is loaded before the kept ones are taken: one that was replaced by then is among them.
    let mut views: BTreeMap<TenantId, Arc<Shard>> =
        core.all_and_ended().iter().map(|tenant| (tenant.id, tenant.view.head())).collect();
    views.extend(lock(&core.views_kept).take().unwrap_or_default());
    views.retain(|_, shard| shard.seq.0 > 0);
    views.into_iter().collect()
}

/// Writes the views; gives the file and the bytes of its chunks. Who is parked is in this file from then on.
fn write_snapshot(core: &Core, seq: u64, views: Vec<(TenantId, Arc<Shard>)>) -> Result<(PathBuf, u64)> {
    let dir = snapshot_dir(&core.options);
    core.world
        .disk
        .create_dir_durable(&dir)
        .map_err(|source| Error::io(format!("creating {}", dir.display()), source))?;
    let mut writer = SnapshotWriter::create(
        Arc::clone(&core.world.disk),
        &dir,
        seq,
        state::CONTENT_VERSION,
        state::FORMAT,
        &*core.world.random,
    )?;
    if core.options.encryption {
        core.keys.prepare(views.iter().map(|(tenant, _)| tenant.0))?;
        writer.seal_with(Arc::clone(&core.keys));
    }
    let mut bytes = 0;
    let seqs: HashMap<TenantId, Seq> = views.iter().map(|(tenant, shard)| (*tenant, shard.seq)).collect();
    for (tenant, shard) in views {
        let mut put = |kind: u8, payload: &[u8]| {
            bytes += payload.len() as u64;
            writer.chunk(tenant.0, kind, state::VERSION, payload)
        };
        match &shard.parked {
            None => state::write(&shard, &mut put)?,
            Some(parked) => parked.pieces()?.iter().try_for_each(|(kind, payload)| put(*kind, payload))?,
        }
    }
    let spans = writer.spans().clone();
    let path = writer.finish()?;
    let snapshot = Snapshot::written(&*core.world.disk, &path, seq)?;
    parking::rest_in(core, Resting::new(&snapshot, &spans, &core.keys, |tenant| seqs.get(&tenant).copied()));
    Ok((path, bytes))
}

/// Starts what works in the background from a thread that lets others go first, which all the threads it starts inherit:
/// while writes want both cores, indexing their text took a fifth of them.
fn stepped_back<T: Send>(start: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let stepped = || {
        let_others_go_first();
        start()
    };
    let panicked = |_| Error::io("starting the text index", std::io::Error::other("it panicked"));
    std::thread::scope(|scope| scope.spawn(stepped).join()).map_err(panicked)?
}

/// Feeds the text index from the change feeds, on a thread of its own.
pub(crate) struct TextFeed {
    index: Arc<TextIndex>,
    indexer: Arc<TextIndexer>,
    dirty: Mutex<Option<Sender<Arc<Tenant>>>>,
    flushed: Mutex<Option<Sender<Sender<()>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl TextFeed {
    pub(crate) fn start(queue_max: usize) -> Result<Self> {
        let (index, indexer) = stepped_back(move || {
            let index = Arc::new(TextIndex::new()?);
            let indexer = TextIndexer::start(Arc::clone(&index), queue_max)?;
            Ok((index, Arc::new(indexer)))
        })?;
        let (dirty, tenants) = unbounded();
        let (flushed, flushes) = unbounded();
        let to = Arc::clone(&indexer);
        let thread = spawn("text-feed", move || {
            let_others_go_first();
            feed(&to, &tenants, &flushes);
        })?;
        Ok(Self {
            index,
            indexer,
            dirty: Mutex::new(Some(dirty)),
            flushed: Mutex::new(Some(flushed)),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Says that a tenant has news.
    pub(crate) fn touch(&self, tenant: &Arc<Tenant>) {
        if !tenant.text_dirty.swap(true, Ordering::AcqRel)
            && let Some(dirty) = lock(&self.dirty).as_ref()
        {
            let _ = dirty.send(Arc::clone(tenant)); // no thread, no text index: the engine is stopping
        }
    }

    /// Removes a tenant, its businesses too.
    pub(crate) fn drop_tenant(&self, tenant: TenantId) -> Result<()> {
        self.indexer.drop_tenant(tenant)
    }

    /// After it nothing that was removed before is in memory any more.
    pub(crate) fn purge(&self) -> Result<()> {
        self.indexer.purge()
    }

    pub(crate) fn stop(&self) {
        lock(&self.dirty).take();
        lock(&self.flushed).take();
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the text feed panicked");
        }
    }
}

/// Waits until all published changes can be found by text.
pub(crate) fn flush_text(core: &Core) -> Result<()> {
    let stopped = || Error::io("flushing the text index", std::io::Error::other("it has stopped"));
    let (done, wait) = bounded(1);
    lock(&core.text.flushed).as_ref().ok_or_else(stopped)?.send(done).map_err(|_| stopped())?;
    wait.recv().map_err(|_| stopped())?;
    core.text.indexer.flush()
}

fn feed(indexer: &TextIndexer, tenants: &Receiver<Arc<Tenant>>, flushes: &Receiver<Sender<()>>) {
    loop {
        let (first, asked) = crossbeam_channel::select! {
            recv(tenants) -> tenant => {
                let Ok(tenant) = tenant else { return };
                match flushes.recv_timeout(TEXT_REST) {
                    Ok(done) => (Some(tenant), Some(done)),
                    Err(RecvTimeoutError::Timeout) => (Some(tenant), None),
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
            recv(flushes) -> done => {
                let Ok(done) = done else { return };
                (None, Some(done))
            }
        };
        for tenant in first.into_iter().chain(tenants.try_iter()) {
            if let Err(error) = feed_tenant(indexer, &tenant) {
                tracing::error!(%error, "the text index takes no more changes until a restart");
                return;
            }
        }
        if let Some(done) = asked {
            let _ = done.send(()); // whoever asked may have left
        }
    }
}

/// Which of a tenant's entities a text search is about. They are indexed apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Contacts,
    Accounts,
}

impl Part {
    /// Where in the index they are.
    fn tenant(self, tenant: TenantId) -> TenantId {
        match self {
            Self::Contacts => tenant,
            Self::Accounts => accounts_of(tenant),
        }
    }

    fn is_of(self, entry: &Feed) -> bool {
        entry.of_accounts == (self == Self::Accounts)
    }

    /// What one of them is found by; `None`: not to be found.
    fn doc(self, shard: &Shard, id: EntityId) -> Option<TextDoc> {
        match self {
            Self::Contacts => contact_doc(shard, id),
            Self::Accounts => account_doc(shard, id),
        }
    }
}

fn feed_tenant(indexer: &TextIndexer, tenant: &Tenant) -> Result<()> {
    tenant.text_dirty.store(false, Ordering::Release);
    let shard = tenant.view.load_full();
    let mut at = lock(&tenant.text_at);
    if *at < shard.feed.len() {
        for part in [Part::Contacts, Part::Accounts] {
            feed_part(indexer, &shard, part, *at)?;
        }
    }
    *at = shard.feed.len();
    Ok(())
}

/// Sends what changed of one part from a place in the feed on.
fn feed_part(indexer: &TextIndexer, shard: &Shard, part: Part, from: usize) -> Result<()> {
    if part == Part::Accounts && shard.accounts.is_none() {
        return Ok(());
    }
    let tenant = part.tenant(shard.tenant);
    let mut seen = HashSet::new();
    let mut batch: Vec<(EntityId, Option<TextDoc>)> = Vec::new();
    let mut seq = Seq(0);
    for entry in shard.feed.iter_from(from) {
        // Entries of the other part only move the seq on.
        for id in entry.entities.iter().filter(|_| part.is_of(entry)) {
            if seen.insert(*id) {
                batch.push((*id, part.doc(shard, *id)));
            }
        }
        // A batch's seq says that everything up to it was sent.
        seq = entry.seq;
        if batch.len() >= TEXT_BATCH {
            indexer.send(TextBatch { tenant, seq, changes: std::mem::take(&mut batch) })?;
        }
    }
    indexer.send(TextBatch { tenant, seq: seq.max(shard.seq), changes: batch })
}

/// What a contact is found by; `None`: not to be found.
fn contact_doc(shard: &Shard, id: EntityId) -> Option<TextDoc> {
    let entity = shard.entity(id).filter(|entity| is_live(entity) && !shard.is_restricted(entity))?;
    let (sources, manual) = crate::resolve::edit::versions(shard, entity);
    let golden = crate::resolve::survive::golden(&sources, &manual, Rules::of(shard));
    let mut values = values(&golden.fields);
    values.push((TextField::Name, golden.canonical_name));
    Some(TextDoc { values, updated: entity.updated_at })
}

/// The same for an account.
fn account_doc(shard: &Shard, id: EntityId) -> Option<TextDoc> {
    let accounts = shard.accounts.as_deref()?;
    let entity = accounts.entity(id).filter(|entity| is_live(entity))?;
    let golden = golden_account(accounts, entity, Rules::from(&*shard.settings));
    let mut values = vec![(TextField::Name, golden.name)];
    let domains = golden.domain_normalized.into_iter().chain(golden.alternate_domains);
    values.extend(domains.map(|domain| (TextField::Domain, domain)));
    values.extend(golden.previous_names.into_iter().map(|name| (TextField::PreviousName, name)));
    values.extend(golden.industry.map(|industry| (TextField::Industry, industry)));
    let cities = golden.shared.fields.addresses.into_iter().filter_map(|address| address.city);
    values.extend(cities.map(|city| (TextField::City, city)));
    Some(TextDoc { values, updated: entity.updated_at })
}

fn values(fields: &Fields) -> Vec<(TextField, String)> {
    let mut values = Vec::new();
    let mut put = |field, value: &Option<String>| values.extend(value.iter().map(|value| (field, value.clone())));
    put(TextField::Name, &fields.nickname);
    put(TextField::Organization, &fields.organization);
    put(TextField::Title, &fields.job_title);
    put(TextField::Note, &fields.notes);
    values.extend(fields.emails.iter().map(|email| (TextField::Email, email.value.clone())));
    for address in &fields.addresses {
        values.push((TextField::Address, crate::resolve::survive::address_text(address)));
    }
    values
}

/// Free-text search: an email or phone exactly, else the text index with what is newer.
pub(crate) fn search(core: &Core, view: &View, query: &SearchQuery) -> Result<Page<SearchHit>> {
    if let Some(ids) = view.find_identifier(&query.q) {
        let kept = ids.into_iter().filter(|id| view.passes(*id, &query.list));
        let items =
            kept.filter_map(|id| view.contact(id).ok()).map(|contact| SearchHit { contact, highlights: Vec::new() });
        return Ok(Page { items: items.collect(), next: None, covered: Some(view.seq()) });
    }
    let (limit, cursor) = (query.list.limit, query.list.cursor.as_deref());
    let keep = |id| view.passes(id, &query.list);
    let found = search_text(core, view.shard(), Part::Contacts, &Asked { q: &query.q, limit, cursor, keep: &keep })?;
    let hit = |(id, highlights)| Some(SearchHit { contact: view.contact(id).ok()?, highlights });
    Ok(Page { items: found.items.into_iter().filter_map(hit).collect(), next: found.next, covered: found.covered })
}

/// The same for accounts: a domain or phone exactly.
pub(crate) fn search_accounts(core: &Core, view: &View, q: &str, filter: &AccountFilter) -> Result<Page<AccountHit>> {
    if let Some(ids) = view.find_account_identifier(q) {
        let kept = ids.into_iter().filter(|id| view.account_passes(*id, filter));
        let items =
            kept.filter_map(|id| view.account(id).ok()).map(|account| AccountHit { account, highlights: Vec::new() });
        return Ok(Page { items: items.collect(), next: None, covered: Some(view.seq()) });
    }
    let (limit, cursor) = (filter.limit, filter.cursor.as_deref());
    let keep = |id| view.account_passes(id, filter);
    let found = search_text(core, view.shard(), Part::Accounts, &Asked { q, limit, cursor, keep: &keep })?;
    let hit = |(id, highlights)| Some(AccountHit { account: view.account(id).ok()?, highlights });
    Ok(Page { items: found.items.into_iter().filter_map(hit).collect(), next: found.next, covered: found.covered })
}

/// A search's words, its page, and who passes the filters.
struct Asked<'a> {
    q: &'a str,
    limit: usize,
    cursor: Option<&'a str>,
    keep: &'a dyn Fn(EntityId) -> bool,
}

/// What was found, with what to show of each: field and text.
type Found = (EntityId, Vec<(String, String)>);

fn search_text(core: &Core, shard: &Shard, part: Part, asked: &Asked<'_>) -> Result<Page<Found>> {
    let covered = core.text.index.covered(part.tenant(shard.tenant));
    let newer = newer(shard, part, covered);
    let limit = if asked.limit == 0 { 20 } else { asked.limit.min(1000) };
    let search = Search { q: asked.q, limit, cursor: asked.cursor, newer: &newer, keep: asked.keep };
    let hits = core.text.index.search(part.tenant(shard.tenant), &search)?;
    let mut items = Vec::new();
    for hit in hits.hits {
        if let Some(doc) = part.doc(shard, hit.entity) {
            let highlights = hits.matcher.highlights(&doc).into_iter();
            items.push((hit.entity, highlights.map(|(field, text)| (field.as_str().to_owned(), text)).collect()));
        }
    }
    Ok(Page { items, next: hits.next, covered: Some(covered) })
}

/// Those that changed behind the index's back, the newest first kept when there are too many.
fn newer(shard: &Shard, part: Part, covered: Seq) -> Vec<(EntityId, Option<TextDoc>)> {
    let mut found: HashMap<EntityId, Option<TextDoc>> = HashMap::new();
    if part == Part::Accounts && shard.accounts.is_none() {
        return Vec::new();
    }
    let news = shard.feed.iter().rev().take_while(|entry| entry.seq > covered);
    for entry in news.filter(|entry| part.is_of(entry)) {
        for id in &entry.entities {
            if found.len() >= NEWER_MAX {
                return found.into_iter().collect();
            }
            found.entry(*id).or_insert_with(|| part.doc(shard, *id));
        }
    }
    found.into_iter().collect()
}
