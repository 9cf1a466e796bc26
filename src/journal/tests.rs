//! The promises of the journal, held against damaged bytes, a failing disk and power cuts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;

use super::format::{FOOTER_BYTES, FRAME_HEADER_BYTES, HEADER_BYTES, RawFrame, SegmentHeader};
use super::*;
use crate::error::Result;
use crate::host::{Disk, Fault, MemDisk, RealDisk, SeededRandom};
use crate::model::ids::Millis;

mod relaxed;

const DATA: &str = "/data";
const OPTIONS: JournalOptions = JournalOptions { segment_bytes: 8192, frame_max: 4096, rkyv_format: 7, relaxed: false };

/// What a test compares: everything of a frame.
type Seen = (u64, u64, u8, i64, bool, Vec<u8>);

fn new_disk() -> MemDisk {
    let disk = MemDisk::new();
    disk.create_dir_all(Path::new(DATA)).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk
}

fn open(disk: &MemDisk, seed: u64) -> Result<(Journal, OpenReport)> {
    Journal::open(Arc::new(disk.clone()), Path::new(DATA), OPTIONS, Arc::new(SeededRandom::new(seed)))
}

/// Frames whose content tells them apart.
fn payloads(mark: u64, frames: usize, len: usize) -> Vec<Vec<u8>> {
    (0..frames)
        .map(|n| {
            let mut bytes = vec![0; len + n];
            blake3::Hasher::new()
                .update(&[mark.to_le_bytes(), (n as u64).to_le_bytes()].concat())
                .finalize_xof()
                .fill(&mut bytes);
            bytes
        })
        .collect()
}

fn append(journal: &mut Journal, payloads: &[Vec<u8>], now_ms: i64) -> Result<Vec<Seen>> {
    let frames: Vec<FrameIn<'_>> = payloads
        .iter()
        .enumerate()
        .map(|(n, payload)| FrameIn {
            tenant: n as u64 % 3,
            kind: 4,
            version: 1,
            last_of_command: n + 1 == payloads.len() || n % 2 == 1,
            payload,
        })
        .collect();
    let seqs = journal.append(&frames, Millis(now_ms))?;
    let seen = seqs
        .zip(&frames)
        .map(|(seq, frame)| (seq, frame.tenant, frame.kind, now_ms, frame.last_of_command, frame.payload.to_vec()));
    Ok(seen.collect())
}

fn replay(disk: &dyn Disk, dir: &Path, after: u64) -> Result<(Vec<Seen>, ReplayReport)> {
    let mut seen = Vec::new();
    let report = Journal::replay(disk, dir, after, &mut |frame| {
        let payload = frame.payload.to_vec();
        seen.push((frame.seq, frame.tenant, frame.kind, frame.group_ms, frame.last_of_command(), payload));
        Ok(())
    })?;
    Ok((seen, report))
}

fn all(disk: &MemDisk) -> Result<Vec<Seen>> {
    Ok(replay(disk, Path::new(DATA), 0)?.0)
}

/// A journal of a sealed segment and a current one with three groups. Gives the groups.
fn small_journal() -> (MemDisk, Vec<Vec<Seen>>) {
    let disk = new_disk();
    let (mut journal, _) = open(&disk, 1).unwrap();
    let mut groups = Vec::new();
    for n in 0.. {
        let len = if journal.segments().len() == 2 { 20 } else { 900 };
        groups.push(append(&mut journal, &payloads(n, 2, len), 1_000 + n as i64).unwrap());
        if journal.segments().len() == 2 && groups.len() > 4 {
            break;
        }
    }
    assert_eq!(journal.segments().iter().map(|segment| segment.sealed).collect::<Vec<_>>(), [true, false]);
    for n in 100..102 {
        groups.push(append(&mut journal, &payloads(n, 2, 20), 2_000).unwrap());
    }
    (disk, groups)
}

fn segment_files(disk: &MemDisk) -> Vec<PathBuf> {
    segment::list_segments(disk, Path::new(DATA)).unwrap().into_iter().map(|file| file.path).collect()
}

/// The disk with one file replaced, as if that were what the machine had found.
fn with_file(disk: &MemDisk, path: &Path, bytes: &[u8]) -> MemDisk {
    let other = disk.crash(0);
    other.put(path, bytes);
    other
}

/// Replay gives a prefix in whole groups or refuses; opening agrees, and writing goes on after it.
fn assert_prefix_or_refused(disk: &MemDisk, groups: &[Vec<Seen>], what: &str) -> Option<usize> {
    let replayed = all(disk);
    let opened = open(disk, 99);
    let Ok(seen) = replayed else {
        return None;
    };
    let kept = (0..=groups.len()).find(|kept| groups[..*kept].concat() == seen);
    let kept = kept.unwrap_or_else(|| panic!("{what}: not a prefix: {} frames", seen.len()));
    let (mut journal, report) = opened.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(report.last_seq, seen.len() as u64, "{what}");
    let added = append(&mut journal, &payloads(500, 1, 30), 9_000).unwrap();
    assert_eq!(all(disk).unwrap(), [seen, added].concat(), "{what}");
    let checked = check(disk, Path::new(DATA)).unwrap();
    assert_eq!(checked.set_aside.len(), usize::from(report.torn_bytes > 0), "{what}");
    Some(kept)
}

#[test]
fn a_flipped_byte_anywhere_gives_the_exact_prefix_or_a_refusal() {
    let (disk, groups) = small_journal();
    let files = segment_files(&disk);
    let sealed_frames = groups.concat().iter().take_while(|seen| seen.5.len() > 800).count();
    assert!(sealed_frames > 2);
    let mut refused = [0, 0];
    for (index, path) in files.iter().enumerate() {
        let bytes = disk.read(path).unwrap();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            let disk = with_file(&disk, path, &flipped);
            let what = format!("byte {at} of {}", path.display());
            let kept = assert_prefix_or_refused(&disk, &groups, &what);
            refused[index] += usize::from(kept.is_none());
            let lost = groups.len() - kept.unwrap_or(groups.len());
            assert!(lost <= index, "{what}: only the last group can be a torn tail, lost {lost}");
            if at < HEADER_BYTES {
                assert!(kept.is_none(), "{what}: the header is covered");
            }
        }
    }
    // In a sealed segment every byte but padding is covered, in the last all but its last group and the zeros.
    assert!(refused[0] > 8192 - 100, "{refused:?}");
    assert!(refused[1] > HEADER_BYTES + 200, "{refused:?}");
}

fn footer_end(bytes: &[u8]) -> usize {
    let seed = SegmentHeader::decode(bytes).unwrap().seed();
    let at = (HEADER_BYTES..bytes.len()).find(|at| format::Footer::decode(bytes, *at, seed).is_some());
    at.unwrap() + FOOTER_BYTES
}

#[test]
fn a_file_cut_anywhere_gives_the_exact_prefix_or_a_refusal() {
    let (disk, groups) = small_journal();
    let files = segment_files(&disk);
    for (index, path) in files.iter().enumerate() {
        let bytes = disk.read(path).unwrap();
        for len in 0..bytes.len() {
            let disk = with_file(&disk, path, &bytes[..len]);
            let what = format!("{} cut to {len}", path.display());
            let kept = assert_prefix_or_refused(&disk, &groups, &what);
            if index == 0 {
                assert_eq!(kept.is_some(), len >= footer_end(&bytes), "{what}: a sealed segment is whole or refused");
            } else {
                assert_eq!(kept.is_none(), len < HEADER_BYTES, "{what}");
            }
        }
    }
}

#[test]
fn check_names_the_file_and_the_place() {
    let (disk, groups) = small_journal();
    let files = segment_files(&disk);
    let clean = check(&disk, Path::new(DATA)).unwrap();
    assert_eq!(clean.first_corruption, None);
    assert_eq!(clean.last_seq, groups.concat().len() as u64);
    assert_eq!(clean.segments.iter().map(|segment| segment.groups).sum::<u64>(), groups.len() as u64);
    let mut bytes = disk.read(&files[0]).unwrap();
    bytes[HEADER_BYTES + FRAME_HEADER_BYTES + 40] ^= 1;
    let damaged = with_file(&disk, &files[0], &bytes);
    let found = check(&damaged, Path::new(DATA)).unwrap().first_corruption.unwrap();
    assert_eq!((found.file, found.offset_bytes), (files[0].clone(), HEADER_BYTES as u64));
    let refusal = all(&damaged).unwrap_err().to_string();
    assert!(refusal.contains(".seg at byte 4096") && refusal.contains("journal check"), "{refusal}");
}

#[test]
fn check_notices_a_forged_footer_that_replay_has_no_reason_to_doubt() {
    let (disk, _) = small_journal();
    let path = &segment_files(&disk)[0];
    let mut bytes = disk.read(path).unwrap();
    let seed = SegmentHeader::decode(&bytes).unwrap().seed();
    let at = (HEADER_BYTES..bytes.len()).find(|at| format::Footer::decode(&bytes, *at, seed).is_some()).unwrap();
    let mut footer = format::Footer::decode(&bytes, at, seed).unwrap();
    footer.chain[0] ^= 1;
    bytes[at..at + FOOTER_BYTES].copy_from_slice(&footer.encode(seed));
    let found = check(&with_file(&disk, path, &bytes), Path::new(DATA)).unwrap().first_corruption.unwrap();
    assert!(found.reason.contains("chain"), "{found:?}");
}

#[test]
fn an_erased_frame_replays_empty_and_the_chain_still_verifies() {
    let disk = new_disk();
    let (mut journal, _) = open(&disk, 1).unwrap();
    append(&mut journal, &payloads(1, 1, 32), 5).unwrap();
    append(&mut journal, &payloads(2, 1, 3800), 6).unwrap();
    append(&mut journal, &payloads(3, 1, 3800), 7).unwrap();
    let path = &segment_files(&disk)[0];
    let mut bytes = disk.read(path).unwrap();
    let seed = SegmentHeader::decode(&bytes).unwrap().seed();
    // Erase by hand what erasing will do: the leaf in place of salt and payload, lengths made to fit.
    let start = HEADER_BYTES + FRAME_HEADER_BYTES;
    let frame = RawFrame::decode(&bytes, start, seed).unwrap();
    let (leaf, stored) = (frame.leaf(), frame.stored_bytes());
    let mut erased = Vec::new();
    let frame = RawFrame { flags: frame.flags | format::ERASED, body: &leaf, ..frame };
    frame.encode_to(seed, &[], &mut erased).unwrap();
    let mut group = format::GroupHeader::decode(&bytes, HEADER_BYTES, seed).unwrap();
    group.len = u32::try_from(erased.len()).unwrap();
    let footer_at = (start..bytes.len()).find(|at| format::Footer::decode(&bytes, *at, seed).is_some()).unwrap();
    let mut footer = format::Footer::decode(&bytes, footer_at, seed).unwrap();
    footer.bytes -= (stored - erased.len()) as u64;
    bytes.splice(footer_at..footer_at + FOOTER_BYTES, footer.encode(seed));
    bytes.splice(HEADER_BYTES..start + stored, [group.encode(seed).to_vec(), erased].concat());
    let disk = with_file(&disk, path, &bytes);
    assert_eq!(check(&disk, Path::new(DATA)).unwrap().first_corruption, None);
    let seen = all(&disk).unwrap();
    assert_eq!((seen.len(), &seen[0].5[..], seen[1].5.len()), (3, &b""[..], 3800));
}

#[test]
fn bytes_of_another_segment_are_never_valid() {
    let (disk, groups) = small_journal();
    let files = segment_files(&disk);
    let stale = disk.read(&files[0]).unwrap();
    let mut bytes = disk.read(&files[1]).unwrap();
    let end = (bytes.iter().rposition(|byte| *byte != 0).unwrap() + 8) / 8 * 8;
    let len = bytes.len() - end;
    bytes[end..].copy_from_slice(&stale[HEADER_BYTES..HEADER_BYTES + len]);
    let disk = with_file(&disk, &files[1], &bytes);
    let kept = assert_prefix_or_refused(&disk, &groups, "stale bytes behind the end");
    assert_eq!(kept, Some(groups.len()));
}

#[test]
fn a_missing_segment_and_a_journal_older_than_its_snapshot_are_refused() {
    let (disk, groups) = small_journal();
    let files = segment_files(&disk);
    let last_seq = groups.concat().len() as u64;
    let ahead = replay(&disk, Path::new(DATA), last_seq + 1).unwrap_err().to_string();
    assert!(ahead.contains("the journal ends at"), "{ahead}");
    disk.remove(&files[0]).unwrap();
    assert!(all(&disk).unwrap_err().to_string().contains("missing"));
    assert!(check(&disk, Path::new(DATA)).unwrap().first_corruption.is_some());
    let (tail, report) = replay(&disk, Path::new(DATA), last_seq - 1).unwrap();
    assert_eq!((tail.len(), report.frames, report.groups, report.last_seq), (1, 1, 1, last_seq));
}

#[test]
fn a_newer_format_and_another_encoding_are_refused_without_a_change() {
    let (disk, _) = small_journal();
    let path = &segment_files(&disk)[1];
    let mut bytes = disk.read(path).unwrap();
    bytes[8] = 3;
    let newer = with_file(&disk, path, &bytes);
    let before = newer.operations();
    for text in [open(&newer, 1).unwrap_err().to_string(), all(&newer).unwrap_err().to_string()] {
        assert!(text.contains("written by a newer selfsame (format 3); this binary reads up to 2"), "{text}");
    }
    let other = JournalOptions { rkyv_format: 8, ..OPTIONS };
    let refused = Journal::open(Arc::new(newer.clone()), Path::new(DATA), other, Arc::new(SeededRandom::new(1)));
    assert!(refused.unwrap_err().to_string().contains("format"));
    assert_eq!(newer.operations(), before);
}

#[test]
fn groups_that_cannot_be_written_are_refused_and_harm_nothing() {
    let disk = new_disk();
    let (mut journal, _) = open(&disk, 1).unwrap();
    let frame = FrameIn { tenant: 1, kind: 1, version: 1, last_of_command: true, payload: &[1; 4096] };
    let open_ended = FrameIn { last_of_command: false, ..frame };
    let too_long = FrameIn { payload: &[1; 4097], ..frame };
    for bad in [vec![FrameIn { kind: 0, ..frame }], vec![open_ended], vec![too_long], vec![frame; 2]] {
        journal.append(&bad, Millis(1)).unwrap_err();
    }
    assert_eq!(journal.append(&[], Millis(1)).unwrap(), 1..1);
    assert_eq!(journal.append(&[FrameIn { payload: &[1; 3800], ..frame }], Millis(1)).unwrap(), 1..2);
    assert_eq!((journal.last_seq(), journal.is_poisoned()), (1, false));
}

#[test]
fn a_disk_full_before_the_group_leaves_the_journal_usable() {
    let disk = new_disk();
    let (mut journal, _) = open(&disk, 1).unwrap();
    let mut groups = Vec::new();
    disk.set_capacity(Some(10_000));
    let error = (0..20).find_map(|n| match append(&mut journal, &payloads(n, 1, 1000), 5) {
        Ok(seen) => {
            groups.push(seen);
            None
        }
        Err(error) => Some(error),
    });
    assert!(matches!(error, Some(Error::Full { .. })), "{error:?}");
    assert!(!journal.is_poisoned() && groups.len() == 3, "{groups:?}");
    assert_eq!(disk.used_bytes(), 8192, "what could not be prepared takes no room");
    disk.set_capacity(None);
    groups.push(append(&mut journal, &payloads(50, 1, 1000), 6).unwrap());
    assert_eq!(all(&disk).unwrap(), groups.concat());
}

#[test]
fn a_failed_write_or_sync_poisons_for_good() {
    for fault in [Fault::Io, Fault::ShortWrite, Fault::FailedSync, Fault::Full] {
        let disk = new_disk();
        let (mut journal, _) = open(&disk, 1).unwrap();
        let first = append(&mut journal, &payloads(1, 2, 700), 5).unwrap();
        disk.fail_at(disk.operations(), fault);
        let error = append(&mut journal, &payloads(2, 2, 600), 6).unwrap_err();
        assert!(matches!(error, Error::Io { .. } | Error::Full { .. }), "{fault:?}: {error}");
        assert!(matches!(append(&mut journal, &payloads(3, 1, 10), 7), Err(Error::Poisoned)), "{fault:?}");
        assert!(matches!(journal.sync(), Err(Error::Poisoned)));
        drop(journal);
        // A restart without a power cut may find the group that was never acknowledged; then it must stay.
        let (mut journal, _) = open(&disk, 2).unwrap();
        let found = all(&disk).unwrap();
        assert!(found.starts_with(&first), "{fault:?}");
        let more = append(&mut journal, &payloads(4, 1, 10), 8).unwrap();
        for seed in 0..50 {
            let seen = all(&disk.crash(seed)).unwrap();
            assert_eq!(seen, [&found[..], &more[..]].concat(), "{fault:?}, crash {seed}");
        }
    }
}

/// Appends until a fault or the end; gives what was acknowledged and the group that was not.
fn run(journal: &mut Journal, mark: u64, sizes: &[(usize, usize)]) -> (Vec<Seen>, Vec<Seen>) {
    let mut acknowledged = Vec::new();
    for (n, (frames, len)) in sizes.iter().enumerate() {
        let next = journal.last_seq() + 1;
        let content = payloads(mark * 1_000 + n as u64, *frames, *len);
        match append(journal, &content, 5) {
            Ok(seen) => acknowledged.extend(seen),
            Err(Error::Full { .. }) if !journal.is_poisoned() => {}
            Err(_) => {
                let count = content.len();
                let lost = content
                    .into_iter()
                    .enumerate()
                    .map(|(n, payload)| (next + n as u64, n as u64 % 3, 4, 5, n + 1 == count || n % 2 == 1, payload));
                return (acknowledged, lost.collect());
            }
        }
    }
    (acknowledged, Vec::new())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_acknowledged_group_survives_any_crash_and_nothing_is_invented(
        lives in prop::collection::vec(
            (prop::collection::vec((1usize..4, 0usize..1000), 1..12), 0u64..60, 0usize..5, any::<u64>()),
            1..5,
        ),
    ) {
        let mut disk = new_disk();
        // What must be there, and the group behind it that may be.
        let (mut known, mut maybe): (Vec<Seen>, Vec<Seen>) = (Vec::new(), Vec::new());
        for (life, (sizes, fault_after, fault, seed)) in lives.iter().enumerate() {
            let faults = [Fault::Io, Fault::Full, Fault::ShortWrite, Fault::FailedSync];
            if let Some(fault) = faults.get(*fault) {
                disk.fail_at(disk.operations() + fault_after, *fault);
            }
            // A fault may hit the opening itself: then nothing is lost and the next one finds it.
            match open(&disk, life as u64) {
                Ok((mut journal, _)) => {
                    known = settled(&disk, &known, &maybe);
                    let (acknowledged, lost) = run(&mut journal, life as u64, sizes);
                    known.extend(acknowledged);
                    maybe = lost;
                }
                Err(Error::Corrupt { reason, .. }) => panic!("{reason}"),
                Err(_) => {}
            }
            // Two of three lives end in a power cut, the others as a process that was killed.
            if seed % 3 > 0 {
                disk = disk.crash(*seed);
                known = settled(&disk, &known, &maybe);
                maybe = Vec::new();
            }
            prop_assert_eq!(check(&disk, Path::new(DATA)).unwrap().first_corruption, None);
        }
        disk = disk.crash(1);
        open(&disk, 1_000).unwrap();
        settled(&disk, &known, &maybe);
    }
}

/// What is on the disk: exactly what must be there, or that and the whole group that may be.
fn settled(disk: &MemDisk, known: &[Seen], maybe: &[Seen]) -> Vec<Seen> {
    let seen = all(disk).unwrap();
    let is_right = seen == known || seen == [known, maybe].concat();
    assert!(is_right, "{} frames found, {} known, {} possible", seen.len(), known.len(), maybe.len());
    seen
}

#[test]
fn a_real_disk_rolls_over_with_segments_made_ahead() {
    let dir = tempfile::tempdir().unwrap();
    let options = JournalOptions { segment_bytes: 16 << 10, ..OPTIONS };
    let open =
        || Journal::open(Arc::new(RealDisk), dir.path(), options.clone(), Arc::new(SeededRandom::new(3))).unwrap();
    let mut expected = Vec::new();
    for life in 0..3 {
        let (mut journal, report) = open();
        assert_eq!((report.last_seq, report.torn_bytes), (expected.len() as u64, 0));
        for n in 0..30 {
            expected.extend(append(&mut journal, &payloads(life * 100 + n, 3, 300), 5).unwrap());
        }
        assert_eq!(journal.durable_seq(), expected.len() as u64);
    }
    assert_eq!(replay(&RealDisk, dir.path(), 0).unwrap().0, expected);
    let report = check(&RealDisk, dir.path()).unwrap();
    assert_eq!((report.first_corruption, report.last_seq), (None, expected.len() as u64));
    assert!(report.segments.len() > 5);
    assert_eq!(open().0.segments().len(), report.segments.len());
}

#[test]
fn write_and_sync_apart_make_the_same_journal() {
    let disk = new_disk();
    let (mut journal, _) = open(&disk, 1).unwrap();
    let frame = FrameIn { tenant: 1, kind: 1, version: 1, last_of_command: true, payload: b"x" };
    assert_eq!(journal.write(&[frame], Millis(1)).unwrap(), 1..2);
    assert_eq!((journal.last_seq(), journal.durable_seq()), (1, 0));
    assert_eq!(journal.write(&[frame], Millis(2)).unwrap(), 2..3);
    assert_eq!(journal.durable_seq(), 1, "a group is written only after the sync of the one before");
    journal.sync().unwrap();
    assert_eq!((journal.durable_seq(), all(&disk).unwrap().len()), (2, 2));
    assert_eq!(journal.bytes(), (HEADER_BYTES + 2 * (32 + format::frame_bytes(1))) as u64);
    assert_eq!(Journal::stored_bytes(1), format::frame_bytes(1 + seal::SEAL_BYTES) as u64, "at most: when sealed");
}

#[test]
fn groups_counted_beside_the_disk_are_in_the_chain_in_their_order() {
    let disk = new_disk();
    let options = JournalOptions { segment_bytes: 64 << 10, ..OPTIONS };
    let mut expected = Vec::new();
    for life in 0..2 {
        let random = Arc::new(SeededRandom::new(life));
        let (mut journal, _) = Journal::open(Arc::new(disk.clone()), Path::new(DATA), options.clone(), random).unwrap();
        // Large ones after small ones, small after large, larger than the buffer before, and segments that end behind both,
        // some because they are full.
        for (n, frames) in (0..).zip([1, aside::FROM, 1, aside::FROM - 1, 40, 41, 3, 90, 200, 180, 190, 2, aside::FROM])
        {
            expected.extend(append(&mut journal, &payloads(life * 1000 + n * 250, frames, 30), 5).unwrap());
            if n % 4 == 3 {
                journal.seal_current(Millis(6)).unwrap();
            }
        }
    }
    assert_eq!(all(&disk).unwrap(), expected);
    let report = check(&disk, Path::new(DATA)).unwrap();
    assert_eq!((report.first_corruption, report.last_seq), (None, expected.len() as u64));
    assert!(report.segments.len() > 6, "chains were compared with footers");
}
