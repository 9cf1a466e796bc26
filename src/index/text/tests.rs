//! Tests of the text index as its callers use it.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;

const ONE: TenantId = TenantId(1);
const TWO: TenantId = TenantId(2);

fn named(name: &str, updated: i64) -> TextDoc {
    TextDoc { values: vec![(TextField::Name, name.into())], updated: Millis(updated) }
}

fn page(index: &TextIndex, tenant: TenantId, q: &str, limit: usize, cursor: Option<&str>) -> TextHits {
    let search = Search { q, limit, cursor, newer: &[], keep: &|_| true };
    index.search(tenant, &search).unwrap()
}

fn found(index: &TextIndex, tenant: TenantId, q: &str) -> Vec<u128> {
    page(index, tenant, q, 100, None).hits.iter().map(|hit| hit.entity.0).collect()
}

#[test]
fn finds_by_nearness_then_field_then_recency() {
    let index = TextIndex::new().unwrap();
    let put = |id, doc: TextDoc| index.put(ONE, EntityId(id), Some(&doc)).unwrap();
    put(1, named("Johm Meyer", 9));
    put(2, named("Johnson", 9));
    put(3, named("John Old", 1));
    put(4, named("John New", 2));
    put(5, TextDoc { values: vec![(TextField::Note, "met John".into())], updated: Millis(9) });
    put(6, TextDoc { values: vec![(TextField::Email, "ann.lee@example.com".into())], updated: Millis(9) });
    index.commit(&[(ONE, Seq(6))]).unwrap();
    assert_eq!(index.covered(ONE), Seq(6));
    assert_eq!(found(&index, ONE, "john"), [4, 3, 5, 2, 1]);
    assert_eq!(found(&index, ONE, "john "), [4, 3, 5, 1]);
    assert_eq!(found(&index, ONE, "jhon new"), [4]);
    assert_eq!(found(&index, ONE, "ann.lee@exa"), [6]);
    assert_eq!(found(&index, ONE, "lee ann"), [6]);
    assert_eq!(found(&index, TWO, "john"), [0u128; 0]);
}

#[test]
fn replaces_deletes_and_forgets() {
    let index = TextIndex::new().unwrap();
    for id in 0..50 {
        index.put(ONE, EntityId(id), Some(&named("Secretname", 0))).unwrap();
        index.put(TWO, EntityId(id), Some(&named("Secretname", 0))).unwrap();
    }
    index.commit(&[]).unwrap();
    for id in 0..49 {
        index.put(ONE, EntityId(id), None).unwrap();
    }
    index.put(ONE, EntityId(49), Some(&named("Other", 0))).unwrap();
    index.drop_tenant(TWO);
    index.purge().unwrap();
    assert_eq!(found(&index, ONE, "secretname"), [0u128; 0]);
    assert_eq!(found(&index, ONE, "other"), [49]);
    assert_eq!(index.len(), 1);
    let bytes_left = index.index.searchable_segments().unwrap().iter().any(|segment| {
        let reader = tantivy::SegmentReader::open(segment).unwrap();
        let inverted = reader.inverted_index(index.fields.terms).unwrap();
        inverted.terms().get(term_bytes(ONE, "secretname", TextField::Name)).unwrap().is_some()
    });
    assert!(!bytes_left, "a purge leaves no term behind");
}

#[test]
fn pages_cover_everything_once_and_refuse_foreign_cursors() {
    let index = TextIndex::new().unwrap();
    for id in 0..25 {
        index.put(ONE, EntityId(id), Some(&named("Anna", i64::try_from(id % 3).unwrap()))).unwrap();
        if id % 7 == 0 {
            index.commit(&[]).unwrap(); // several segments
        }
    }
    index.commit(&[]).unwrap();
    let mut seen = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let hits = page(&index, ONE, "anna", 4, cursor.as_deref());
        seen.extend(hits.hits.iter().copied());
        match hits.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    assert!(seen.is_sorted());
    assert_eq!(seen.len(), 25);
    for (tenant, q, cursor) in
        [(ONE, "bob", cursor.as_deref()), (TWO, "anna", cursor.as_deref()), (ONE, "anna", Some("é"))]
    {
        let search = Search { q, limit: 4, cursor, newer: &[], keep: &|_| true };
        assert!(matches!(index.search(tenant, &search), Err(Error::Invalid { .. })));
    }
}

#[test]
fn newer_documents_and_filters_decide() {
    let index = TextIndex::new().unwrap();
    for id in 1..=4 {
        index.put(ONE, EntityId(id), Some(&named("Anna", 0))).unwrap();
    }
    index.commit(&[]).unwrap();
    let newer = [(EntityId(1), None), (EntityId(2), Some(named("Bob", 0))), (EntityId(9), Some(named("Anna", 5)))];
    let search = Search { q: "anna", limit: 10, cursor: None, newer: &newer, keep: &|id| id != EntityId(3) };
    let hits = index.search(ONE, &search).unwrap().hits;
    assert_eq!(hits.iter().map(|hit| hit.entity.0).collect::<Vec<_>>(), [9, 4]);
}

#[test]
fn the_indexer_batches_covers_and_stops() {
    let index = Arc::new(TextIndex::new().unwrap());
    let indexer = TextIndexer::start(Arc::clone(&index), 4).unwrap();
    for id in 1..=20u64 {
        let changes = vec![(EntityId(id.into()), Some(named("Anna", 0)))];
        indexer.send(TextBatch { tenant: ONE, seq: Seq(id), changes }).unwrap();
    }
    indexer.flush().unwrap();
    assert_eq!((index.covered(ONE), index.len()), (Seq(20), 20));
    indexer.drop_tenant(ONE).unwrap();
    indexer.purge().unwrap();
    indexer.flush().unwrap();
    assert_eq!((index.covered(ONE), index.len()), (Seq(0), 0));
    drop(indexer);
    assert_eq!(Arc::strong_count(&index), 1, "the thread is gone");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn finds_what_comparing_every_document_finds(
        names in prop::collection::vec(("[ab]{1,5}( [abc]{1,9})?", 0u8..6, 0i64..3), 1..30),
        q in "[ab]{1,5}( [abc]{1,9})? ?",
        limit in 1usize..8,
    ) {
        let index = TextIndex::new().unwrap();
        let mut expected = Vec::new();
        let matcher = Matcher::parse(&q).unwrap();
        for (id, (name, field, updated)) in names.iter().enumerate() {
            let values = vec![(TextField::ALL[usize::from(*field)], name.clone())];
            let doc = TextDoc { values, updated: Millis(*updated) };
            index.put(ONE, EntityId(id as u128), Some(&doc)).unwrap();
            index.put(TWO, EntityId(id as u128), Some(&named("aaaa", 0))).unwrap();
            expected.extend(matcher.rank(&doc).map(|rank| (rank, -updated, id as u128)));
            if id % 9 == 8 {
                index.commit(&[]).unwrap();
            }
        }
        index.commit(&[]).unwrap();
        expected.sort_unstable();
        let mut hits = page(&index, ONE, &q, limit, None);
        let mut found = Vec::new();
        loop {
            found.extend(hits.hits.iter().map(|hit| (hit.rank, -hit.updated().0, hit.entity.0)));
            let Some(next) = hits.next else { break };
            hits = page(&index, ONE, &q, limit, Some(&next));
        }
        prop_assert_eq!(found, expected);
    }
}
