//! Background work: snapshots, and feeding the text index behind the published views.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::engine::api::{Page, SearchHit, SearchQuery};
use crate::engine::commit::Job;
use crate::engine::recover::{snapshot_dir, spawn};
use crate::engine::{Core, SnapshotReport, Tenant, View, lock};
use crate::error::{Error, Result};
use crate::index::text::{Search, TextBatch, TextDoc, TextField, TextIndex, TextIndexer};
use crate::journal::SnapshotWriter;
use crate::model::ids::{EntityId, Seq};
use crate::model::record::Fields;
use crate::store::shard::Shard;
use crate::store::state;

/// Contacts of one batch for the text index.
const TEXT_BATCH: usize = 1000;
/// Changed contacts, newer than the text index, that a search looks at itself.
const NEWER_MAX: usize = 2000;

/// Writes a snapshot of the state as of the last durable frame.
pub(crate) fn snapshot(core: &Core, jobs: &Sender<Job>) -> Result<SnapshotReport> {
    let started = core.world.clock.monotonic();
    let (reply, views) = bounded(1);
    jobs.send(Job::Views(reply)).map_err(|_| Error::Poisoned)?;
    let (seq, shards) = views.recv().map_err(|_| Error::Poisoned)?;
    let dir = snapshot_dir(&core.options);
    core.world.disk.create_dir_all(&dir).map_err(|source| Error::io(format!("creating {}", dir.display()), source))?;
    let mut writer = SnapshotWriter::create(
        Arc::clone(&core.world.disk),
        &dir,
        seq,
        state::CONTENT_VERSION,
        state::FORMAT,
        &*core.world.random,
    )?;
    let mut bytes = 0;
    for (tenant, shard) in shards {
        state::write(&shard, &mut |kind, payload| {
            bytes += payload.len() as u64;
            writer.chunk(tenant.0, kind, state::VERSION, payload)
        })?;
    }
    let path = writer.finish()?;
    let took = core.world.clock.monotonic() - started;
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(seq, bytes, millis, "snapshot written");
    Ok(SnapshotReport { seq, bytes, millis, path })
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
        let index = Arc::new(TextIndex::new()?);
        let indexer = Arc::new(TextIndexer::start(Arc::clone(&index), queue_max)?);
        let (dirty, tenants) = unbounded();
        let (flushed, flushes) = unbounded();
        let to = Arc::clone(&indexer);
        let thread = spawn("text-feed", move || feed(&to, &tenants, &flushes))?;
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
        crossbeam_channel::select! {
            recv(tenants) -> tenant => {
                let Ok(tenant) = tenant else { return };
                if let Err(error) = feed_tenant(indexer, &tenant) {
                    tracing::error!(%error, "the text index takes no more changes until a restart");
                    return;
                }
            }
            recv(flushes) -> done => {
                let Ok(done) = done else { return };
                while let Ok(tenant) = tenants.try_recv() {
                    if feed_tenant(indexer, &tenant).is_err() {
                        return;
                    }
                }
                let _ = done.send(());
            }
        }
    }
}

fn feed_tenant(indexer: &TextIndexer, tenant: &Tenant) -> Result<()> {
    tenant.text_dirty.store(false, Ordering::Release);
    let shard = tenant.view.load_full();
    let mut at = lock(&tenant.text_at);
    let mut seen = HashSet::new();
    let mut batch: Vec<(EntityId, Option<TextDoc>)> = Vec::new();
    let mut seq = Seq(0);
    for entry in shard.feed.iter_from(*at) {
        // Accounts are not in the text index; their entries only move its seq on.
        for id in entry.entities.iter().filter(|_| !entry.of_accounts) {
            if seen.insert(*id) {
                batch.push((*id, doc(&shard, *id)));
            }
        }
        // A batch's seq says that everything up to it was sent.
        seq = entry.seq;
        if batch.len() >= TEXT_BATCH {
            indexer.send(TextBatch { tenant: shard.tenant, seq, changes: std::mem::take(&mut batch) })?;
        }
    }
    if seq.0 > 0 {
        indexer.send(TextBatch { tenant: shard.tenant, seq: seq.max(shard.seq), changes: batch })?;
    }
    *at = shard.feed.len();
    Ok(())
}

/// What a contact is found by; `None`: not to be found.
fn doc(shard: &Shard, id: EntityId) -> Option<TextDoc> {
    let entity = shard.entity(id)?;
    if !crate::store::apply::is_live(entity) {
        return None;
    }
    let (sources, manual) = crate::resolve::edit::versions(shard, entity);
    let golden = crate::resolve::survive::golden(&sources, &manual, crate::resolve::survive::Rules::of(shard));
    let mut values = values(&golden.fields);
    values.push((TextField::Name, golden.canonical_name));
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
    let shard = view.shard();
    if let Some(ids) = view.find_identifier(&query.q) {
        let kept = ids.into_iter().filter(|id| view.passes(*id, &query.list));
        let items =
            kept.filter_map(|id| view.contact(id).ok()).map(|contact| SearchHit { contact, highlights: Vec::new() });
        return Ok(Page { items: items.collect(), next: None, covered: Some(shard.seq) });
    }
    let covered = core.text.index.covered(shard.tenant);
    let newer = newer(shard, covered);
    let limit = if query.list.limit == 0 { 20 } else { query.list.limit.min(1000) };
    let search = Search {
        q: &query.q,
        limit,
        cursor: query.list.cursor.as_deref(),
        newer: &newer,
        keep: &|id| view.passes(id, &query.list),
    };
    let hits = core.text.index.search(shard.tenant, &search)?;
    let mut items = Vec::new();
    for hit in hits.hits {
        if let (Ok(contact), Some(doc)) = (view.contact(hit.entity), doc(shard, hit.entity)) {
            let highlights = hits.matcher.highlights(&doc);
            let highlights = highlights.into_iter().map(|(field, text)| (field.as_str().to_owned(), text)).collect();
            items.push(SearchHit { contact, highlights });
        }
    }
    Ok(Page { items, next: hits.next, covered: Some(covered) })
}

/// Contacts that changed behind the index's back, the newest first kept when there are too many.
fn newer(shard: &Shard, covered: Seq) -> Vec<(EntityId, Option<TextDoc>)> {
    let mut found: HashMap<EntityId, Option<TextDoc>> = HashMap::new();
    let news = shard.feed.iter().rev().take_while(|entry| entry.seq > covered);
    for entry in news.filter(|entry| !entry.of_accounts) {
        for id in &entry.entities {
            if found.len() >= NEWER_MAX {
                return found.into_iter().collect();
            }
            found.entry(*id).or_insert_with(|| doc(shard, *id));
        }
    }
    found.into_iter().collect()
}
