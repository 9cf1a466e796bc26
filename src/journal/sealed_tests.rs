//! What sealing promises, held against damaged bytes, wrong keys, a failing disk and power cuts.

use std::path::Path;
use std::sync::Arc;

use super::format::{FRAME_HEADER_BYTES, HEADER_BYTES, RawFrame, SegmentHeader};
use super::ring_file::{ENTRY_BYTES, HEADER_BYTES as RING_HEADER_BYTES};
use super::seal::SEAL_BYTES;
use super::*;
use crate::error::Result;
use crate::host::{Disk, Fault, MemDisk, SeededRandom};
use crate::model::ids::Millis;

const DATA: &str = "/data";
const OLD: [u8; 32] = [1; 32];
const NEW: [u8; 32] = [2; 32];

fn new_disk() -> MemDisk {
    let disk = MemDisk::new();
    disk.create_dir_all(Path::new(DATA)).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk
}

fn ring(disk: &MemDisk, master: &[u8; 32]) -> Result<Arc<Keyring>> {
    // Other random bytes each time, as a real generator gives.
    let random = Arc::new(SeededRandom::new(disk.operations() + 7));
    Keyring::open(Arc::new(disk.clone()), Path::new(DATA), master, random).map(Arc::new)
}

fn label(tenant: u64) -> Label {
    Label::Piece { tenant, kind: 1, file: 9, index: 0 }
}

fn content(tenant: u64) -> Vec<u8> {
    format!("what tenant {tenant} says").into_bytes()
}

/// A ring with the keys of tenants 1 to 3, and something sealed under each.
fn filled() -> (MemDisk, Vec<Vec<u8>>) {
    let disk = new_disk();
    let keys = ring(&disk, &OLD).unwrap();
    keys.settle().unwrap();
    let sealed = (1..=3).map(|tenant| keys.seal(&label(tenant), &content(tenant)).unwrap()).collect();
    (disk, sealed)
}

/// What the sealed bytes of tenants 1 to 3 open to.
fn opened(keys: &Keyring, sealed: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> {
    sealed.iter().zip(1..).map(|(bytes, tenant)| Ok(keys.open_sealed(&label(tenant), bytes)?.plain())).collect()
}

fn all_plain() -> Vec<Option<Vec<u8>>> {
    (1..=3).map(|tenant| Some(content(tenant))).collect()
}

fn path() -> std::path::PathBuf {
    ring_path(Path::new(DATA))
}

#[test]
fn keys_come_back_and_another_master_key_is_refused_with_the_remedy() {
    let (disk, sealed) = filled();
    let before = disk.operations();
    let text = ring(&disk, &NEW).unwrap_err().to_string();
    assert!(text.contains("--key-file") && text.contains("/data/keys/ring.bin"), "{text}");
    let keys = ring(&disk, &OLD).unwrap();
    assert_eq!(opened(&keys, &sealed).unwrap(), all_plain());
    assert_eq!(
        (disk.operations(), keys.highest_tenant(), keys.record_secret()),
        (before, 3, OLD),
        "nothing was changed"
    );
    assert!(opened(&keys, &[sealed[1].clone()]).is_err(), "another tenant's");
    assert!(!format!("{keys:?}").contains("wrapping"));
}

#[test]
fn the_keys_of_a_group_are_one_write_and_one_sync_and_no_key_is_made_twice() {
    let (disk, _) = filled();
    let keys = ring(&disk, &OLD).unwrap();
    let (before, len) = (disk.operations(), disk.read(&path()).unwrap().len());
    keys.current([9, 4, 4, 2].into_iter().chain(100..400)).unwrap();
    assert_eq!(disk.operations() - before, 2);
    assert_eq!(disk.read(&path()).unwrap().len(), len + 302 * ENTRY_BYTES);
    keys.current([9, 4, 1].into_iter()).unwrap();
    assert_eq!(disk.operations() - before, 2);
    assert_eq!(ring(&disk, &OLD).unwrap().highest_tenant(), 399);
}

#[test]
fn every_damage_to_the_ring_refuses_or_leaves_a_key_missing_which_refuses_then() {
    let (disk, sealed) = filled();
    let whole = disk.read(&path()).unwrap();
    assert_eq!(whole.len(), RING_HEADER_BYTES + 3 * ENTRY_BYTES);
    for at in 0..whole.len() {
        for (what, bytes) in [("flipped", flipped(&whole, at)), ("cut", whole[..at].to_vec())] {
            let damaged = disk.crash(0);
            damaged.put(&path(), &bytes);
            match ring(&damaged, &OLD) {
                Err(error) => assert!(!error.to_string().is_empty()),
                Ok(keys) => {
                    let refused = opened(&keys, &sealed).unwrap_err().to_string();
                    assert!(refused.contains("has no key 1 of tenant"), "{what} at {at}: {refused}");
                }
            }
            assert_eq!(damaged.read(&path()).unwrap(), bytes, "opening changes nothing");
        }
    }
    let gone = disk.crash(0);
    gone.remove(&path()).unwrap();
    assert!(opened(&ring(&gone, &OLD).unwrap(), &sealed).is_err());
}

fn flipped(whole: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    bytes[at] ^= 1 << (at % 8);
    bytes
}

#[test]
fn a_tenant_gets_new_keys_and_the_old_ones_go_on_opening() {
    let (disk, sealed) = filled();
    let keys = ring(&disk, &OLD).unwrap();
    assert_eq!((keys.rotate(2).unwrap(), keys.rotate(2).unwrap(), keys.rotate(7).unwrap()), (2, 3, 1));
    let later = keys.seal(&label(2), b"later").unwrap();
    assert_eq!((sealed[1][0], later[0]), (1, 3), "the generation stands first");
    for keys in [keys, ring(&disk, &OLD).unwrap()] {
        assert_eq!(opened(&keys, &sealed).unwrap(), all_plain());
        assert_eq!(keys.open_sealed(&label(2), &later).unwrap(), Opened::Plain(b"later".to_vec()));
    }
}

#[test]
fn after_a_crash_in_a_rotation_of_the_master_key_one_of_the_two_opens_everything() {
    let (mut seen_old, mut seen_new) = (0, 0);
    for at in 0..9 {
        for fault in [None, Some(Fault::Io), Some(Fault::Full), Some(Fault::ShortWrite), Some(Fault::FailedSync)] {
            let (disk, mut sealed) = filled();
            let keys = ring(&disk, &OLD).unwrap();
            if let Some(fault) = fault {
                disk.fail_at(disk.operations() + at, fault);
            }
            let rotated = keys.rotate_master(&NEW);
            // The server goes on, and a new tenant comes: whatever has failed, its key must not be lost.
            let more = (fault.is_none() || rotated.is_err()).then(|| keys.seal(&label(4), b"more").ok()).flatten();
            for seed in 0..12 {
                let crashed = disk.crash(seed);
                let (old, new) = (ring(&crashed, &OLD), ring(&crashed, &NEW));
                assert_ne!(old.is_ok(), new.is_ok(), "fault {fault:?} at {at}, crash {seed}");
                assert!(rotated.is_err() || new.is_ok(), "it has returned, so the new key opens");
                seen_old += u32::from(old.is_ok());
                seen_new += u32::from(new.is_ok());
                let keys = old.or(new).unwrap();
                assert_eq!((opened(&keys, &sealed).unwrap(), keys.record_secret()), (all_plain(), OLD));
                if let Some(more) = &more {
                    assert!(keys.open_sealed(&label(4), more).is_ok(), "fault {fault:?} at {at}, crash {seed}");
                }
            }
            sealed.clear();
        }
    }
    assert!(seen_old > 50 && seen_new > 50, "{seen_old} {seen_new}");
}

#[test]
fn a_crash_at_any_operation_loses_no_key_that_was_handed_out() {
    for at in 0..12 {
        for fault in [Fault::Io, Fault::Full, Fault::ShortWrite, Fault::FailedSync] {
            let disk = new_disk();
            let keys = ring(&disk, &OLD).unwrap();
            disk.fail_at(disk.operations() + at, fault);
            let mut handed = Vec::new();
            for tenant in 1..=3 {
                // A failed one is asked for again, as the next group does.
                for _ in 0..2 {
                    if let Ok(sealed) = keys.seal(&label(tenant), &content(tenant)) {
                        handed.push((tenant, sealed));
                        break;
                    }
                }
            }
            assert!(handed.len() >= 2, "one fault stops one call only");
            for seed in 0..12 {
                let keys = ring(&disk.crash(seed), &OLD).unwrap();
                for (tenant, sealed) in &handed {
                    let opened = keys.open_sealed(&label(*tenant), sealed).unwrap().plain();
                    assert_eq!(opened, Some(content(*tenant)), "fault {fault:?} at {at}, crash {seed}");
                }
            }
        }
    }
}

#[test]
fn destroyed_keys_are_gone_for_good_and_only_they() {
    for at in 0..9 {
        for fault in [Fault::Io, Fault::FailedSync, Fault::ShortWrite, Fault::Full] {
            let (disk, sealed) = filled();
            let keys = ring(&disk, &OLD).unwrap();
            disk.fail_at(disk.operations() + at, fault);
            let destroyed = keys.destroy(2);
            // It has failed, so the tenant may write on, and what is sealed then must not be lost.
            let again = destroyed.is_err().then(|| keys.seal(&label(2), &content(2)).ok()).flatten();
            let without = vec![Some(content(1)), None, Some(content(3))];
            for seed in 0..8 {
                let after = ring(&disk.crash(seed), &OLD).unwrap();
                let found = opened(&after, &sealed).unwrap();
                assert!(
                    found == without || (destroyed.is_err() && found == all_plain()),
                    "{fault:?} at {at}: {found:?}"
                );
                assert_eq!(after.highest_tenant(), 3, "its number stays taken");
                if let Some(again) = &again {
                    let opened = after.open_sealed(&label(2), again).unwrap().plain();
                    assert_eq!(opened, Some(content(2)), "{fault:?} at {at}");
                }
            }
            if destroyed.is_ok() {
                assert!(keys.is_destroyed(2) && keys.seal(&label(2), b"x").is_err() && keys.rotate(2).is_err());
                assert!(keys.destroy(2).map_or(true, |had| !had), "again: there were none");
            }
        }
    }
}

#[test]
fn a_destroyed_key_stands_in_no_file_any_more() {
    let (disk, _) = filled();
    let before = disk.read(&path()).unwrap();
    let entry = &before[RING_HEADER_BYTES + ENTRY_BYTES + 24..RING_HEADER_BYTES + 2 * ENTRY_BYTES];
    let keys = ring(&disk, &OLD).unwrap();
    let old = disk.open_read(&path()).unwrap();
    keys.destroy(2).unwrap();
    let mut bytes = vec![1; before.len()];
    old.read_exact_at(0, &mut bytes).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 0), "the old file's bytes are overwritten");
    let after = disk.read(&path()).unwrap();
    assert!(!after.windows(entry.len()).any(|window| window == entry));
}

const OPTIONS: JournalOptions = JournalOptions { segment_bytes: 8192, frame_max: 4096, rkyv_format: 7, relaxed: false };

fn journal(disk: &MemDisk, keys: Option<&Arc<Keyring>>) -> Journal {
    let random = Arc::new(SeededRandom::new(disk.operations()));
    let (mut journal, _) = Journal::open(Arc::new(disk.clone()), Path::new(DATA), OPTIONS, random).unwrap();
    if let Some(keys) = keys {
        journal.seal_with(Arc::clone(keys));
    }
    journal
}

fn append(journal: &mut Journal, texts: &[(u64, &str)]) {
    let frames: Vec<FrameIn<'_>> = texts
        .iter()
        .map(|(tenant, text)| FrameIn {
            tenant: *tenant,
            kind: 4,
            version: 1,
            last_of_command: true,
            payload: text.as_bytes(),
        })
        .collect();
    journal.append(&frames, Millis(5)).unwrap();
}

type Seen = (u64, u64, String);

fn replay(disk: &MemDisk, keys: &Keyring) -> Result<(Vec<Seen>, u64)> {
    let mut seen = Vec::new();
    let (_, destroyed) = Journal::replay_opened(disk, Path::new(DATA), 0, keys, &mut |frame| {
        seen.push((frame.seq, frame.tenant, String::from_utf8(frame.payload.to_vec()).unwrap()));
        Ok(())
    })?;
    Ok((seen, destroyed))
}

fn holds(disk: &MemDisk, text: &str) -> bool {
    let dir = Path::new(DATA).join("journal");
    let names = disk.list(&dir).unwrap();
    let in_file = |bytes: Vec<u8>| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    names.iter().any(|name| in_file(disk.read(&dir.join(name)).unwrap()))
}

#[test]
fn a_journal_of_plain_and_sealed_frames_reads_as_one() {
    let disk = new_disk();
    let keys = ring(&disk, &OLD).unwrap();
    append(&mut journal(&disk, None), &[(1, "plain one"), (2, "plain two")]);
    assert!(!any_sealed(&disk, Path::new(DATA)).unwrap());
    append(&mut journal(&disk, Some(&keys)), &[(1, "sealed one"), (2, ""), (3, "sealed three")]);
    append(&mut journal(&disk, None), &[(1, "plain again")]);
    assert!(any_sealed(&disk, Path::new(DATA)).unwrap());
    let texts = ["plain one", "plain two", "sealed one", "", "sealed three", "plain again"];
    let tenants = [1, 2, 1, 2, 3, 1];
    let all: Vec<Seen> =
        (1..).zip(tenants).zip(texts).map(|((seq, tenant), text)| (seq, tenant, text.into())).collect();
    assert_eq!(replay(&disk, &keys).unwrap(), (all.clone(), 0));
    assert!(holds(&disk, "plain one") && !holds(&disk, "sealed one") && !holds(&disk, "three"));
    let check = check(&disk, Path::new(DATA)).unwrap();
    assert_eq!((check.first_corruption, check.last_seq), (None, 6), "the chain verifies without a key");
    keys.destroy(1).unwrap();
    let rest: Vec<Seen> = all.into_iter().filter(|(_, tenant, _)| *tenant != 1).collect();
    assert_eq!(replay(&disk, &keys).unwrap(), (rest, 3));
    assert!(replay(&disk, &ring(&new_disk(), &OLD).unwrap()).is_err(), "without the ring nothing opens");
}

/// A group must fit its segment with what sealing adds, and its bytes are what is counted for it.
#[test]
fn sealed_groups_fit_as_counted() {
    let disk = new_disk();
    let keys = ring(&disk, &OLD).unwrap();
    let mut journal = journal(&disk, Some(&keys));
    let text = "x".repeat(100);
    let most = usize::try_from(journal.group_bytes_max() / Journal::stored_bytes(100)).unwrap();
    for n in [1, most, 3, most, most - 1] {
        append(&mut journal, &vec![(1, text.as_str()); n]);
    }
    let group = vec![(2, text.as_str()); most + 1];
    let frames: Vec<FrameIn<'_>> = group
        .iter()
        .map(|(tenant, text)| FrameIn {
            tenant: *tenant,
            kind: 4,
            version: 1,
            last_of_command: true,
            payload: text.as_bytes(),
        })
        .collect();
    assert!(journal.append(&frames, Millis(5)).is_err());
    assert_eq!(replay(&disk, &keys).unwrap().0.len(), most * 3 + 3);
}

/// The disk's checksums can be made right again by whoever changes bytes; the tag cannot.
#[test]
fn a_changed_payload_with_a_right_checksum_is_refused() {
    let disk = new_disk();
    let keys = ring(&disk, &OLD).unwrap();
    append(&mut journal(&disk, Some(&keys)), &[(1, "John")]);
    let file = segment::list_segments(&disk, Path::new(DATA)).unwrap().remove(0).path;
    let whole = disk.read(&file).unwrap();
    let seed = SegmentHeader::decode(&whole).unwrap().seed();
    let offset = HEADER_BYTES + FRAME_HEADER_BYTES;
    let frame = RawFrame::decode(&whole, offset, seed).unwrap();
    assert_eq!(frame.payload().len(), 4 + SEAL_BYTES);
    for at in 16..frame.body.len() {
        let body = flipped(frame.body, at);
        let mut bytes = Vec::new();
        RawFrame { body: &body, ..frame }.encode_to(seed, &[], &mut bytes).unwrap();
        let mut changed = whole.clone();
        changed[offset..offset + bytes.len()].copy_from_slice(&bytes);
        disk.put(&file, &changed);
        let refused = replay(&disk, &keys).unwrap_err().to_string();
        assert!(refused.contains("does not open") || refused.contains("has no key"), "byte {at}: {refused}");
    }
    let moved = RawFrame { tenant: 1, kind: 5, ..frame };
    let mut bytes = Vec::new();
    moved.encode_to(seed, &[], &mut bytes).unwrap();
    let mut changed = whole;
    changed[offset..offset + bytes.len()].copy_from_slice(&bytes);
    disk.put(&file, &changed);
    assert!(replay(&disk, &keys).is_err(), "a payload opens as no other kind");
}

fn snapshot(disk: &MemDisk, seq: u64, keys: Option<&Arc<Keyring>>) -> std::path::PathBuf {
    let random = SeededRandom::new(seq);
    let mut writer = SnapshotWriter::create(Arc::new(disk.clone()), Path::new(DATA), seq, 3, 7, &random).unwrap();
    if let Some(keys) = keys {
        writer.seal_with(Arc::clone(keys));
    }
    for tenant in 1..=3 {
        writer.chunk(tenant, 2, 1, &content(tenant)).unwrap();
    }
    writer.finish().unwrap()
}

type Chunks = Vec<(u64, Vec<u8>)>;

fn chunks(disk: &MemDisk, keys: &Keyring) -> Result<(Chunks, u64)> {
    let snapshot = Snapshot::newest_valid(disk, Path::new(DATA))?.0.unwrap();
    let (mut seen, mut destroyed, mut place) = (Vec::new(), 0, snapshot.start()?);
    loop {
        let some = snapshot.read_on(&mut place, 1)?;
        if some.is_empty() {
            return Ok((seen, destroyed));
        }
        for chunk in some {
            let tenant = chunk.tenant;
            match chunk.open(keys)? {
                Some(payload) => seen.push((tenant, payload)),
                None => destroyed += 1,
            }
        }
    }
}

#[test]
fn snapshots_are_sealed_under_a_format_of_their_own_and_plain_ones_open_for_ever() {
    let disk = new_disk();
    let keys = ring(&disk, &OLD).unwrap();
    let all: Vec<(u64, Vec<u8>)> = (1..=3).map(|tenant| (tenant, content(tenant))).collect();
    let plain = disk.read(&snapshot(&disk, 5, None)).unwrap();
    assert_eq!((plain[8], chunks(&disk, &keys).unwrap()), (1, (all.clone(), 0)));
    let path = snapshot(&disk, 9, Some(&keys));
    let sealed = disk.read(&path).unwrap();
    assert_eq!((sealed[8], chunks(&disk, &keys).unwrap()), (3, (all, 0)));
    let holds = |bytes: &[u8]| bytes.windows(8).any(|window| window == b"tenant 2");
    assert!(holds(&plain) && !holds(&sealed));
    assert!(chunks(&disk, &ring(&new_disk(), &OLD).unwrap()).is_err(), "without the ring nothing opens");
    let mut newer = sealed.clone();
    newer[8] = 4;
    disk.put(&path, &newer);
    let (_, notes) = Snapshot::newest_valid(&disk, Path::new(DATA)).unwrap();
    assert!(notes[0].contains("newer selfsame (snapshot format 4)"), "{notes:?}");
    disk.put(&path, &sealed);
    keys.destroy(2).unwrap();
    let (seen, destroyed) = chunks(&disk, &keys).unwrap();
    assert_eq!((seen.len(), destroyed), (2, 1));
    snapshot(&disk, 12, Some(&keys));
    assert_eq!(chunks(&disk, &keys).unwrap().0.len(), 2, "a destroyed tenant is left out of the next one");
}

/// An older program refuses a segment of version 2 by its number, and would misread a sealed frame in one of version 1.
#[test]
fn sealed_frames_never_stand_in_a_segment_of_version_1() {
    let disk = new_disk();
    append(&mut journal(&disk, None), &[(1, "of an earlier build")]);
    let first = segment::list_segments(&disk, Path::new(DATA)).unwrap().remove(0).path;
    let mut bytes = disk.read(&first).unwrap();
    assert_eq!(bytes[8], 2);
    bytes[8] = 1;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..HEADER_BYTES]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    disk.put(&first, &bytes);
    let keys = ring(&disk, &OLD).unwrap();
    append(&mut journal(&disk, Some(&keys)), &[(1, "sealed")]);
    let texts: Vec<String> = replay(&disk, &keys).unwrap().0.into_iter().map(|(_, _, text)| text).collect();
    assert_eq!(texts, ["of an earlier build", "sealed"]);
    let versions: Vec<u8> = segment::list_segments(&disk, Path::new(DATA))
        .unwrap()
        .iter()
        .map(|file| disk.read(&file.path).unwrap()[8])
        .collect();
    assert_eq!(versions, [1, 2]);
    assert_eq!(check(&disk, Path::new(DATA)).unwrap().first_corruption, None);
}
