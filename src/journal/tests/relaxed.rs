//! A journal whose caller syncs when it likes: a crash leaves a prefix that holds all that was synced, and damage is still
//! told from it.

use super::*;

const RELAXED: JournalOptions = JournalOptions { relaxed: true, ..OPTIONS };

fn open_relaxed(disk: &MemDisk, seed: u64) -> Result<(Journal, OpenReport)> {
    Journal::open(Arc::new(disk.clone()), Path::new(DATA), RELAXED, Arc::new(SeededRandom::new(seed)))
}

fn write(journal: &mut Journal, mark: u64) -> Vec<Seen> {
    try_write(journal, mark).unwrap()
}

fn try_write(journal: &mut Journal, mark: u64) -> Result<Vec<Seen>> {
    let payloads = payloads(mark, 2, 60);
    let frames: Vec<FrameIn<'_>> = payloads
        .iter()
        .zip([false, true])
        .map(|(payload, last_of_command)| FrameIn { tenant: 1, kind: 4, version: 1, last_of_command, payload })
        .collect();
    let seqs = journal.write(&frames, Millis(5))?;
    Ok(seqs.zip(&frames).map(|(seq, one)| (seq, 1, 4, 5, one.last_of_command, one.payload.to_vec())).collect())
}

/// Groups of a journal that is synced after every fifth group, over several segments. `durable` frames are synced.
fn written(groups: u64) -> (MemDisk, Vec<Seen>, usize) {
    let disk = new_disk();
    let (mut journal, _) = open_relaxed(&disk, 1).unwrap();
    let mut all = Vec::new();
    for n in 0..groups {
        all.extend(write(&mut journal, n));
        if n % 5 == 4 {
            journal.sync().unwrap();
            assert!(!journal.is_behind());
        }
    }
    let durable = usize::try_from(journal.durable_seq()).unwrap();
    (disk, all, durable)
}

#[test]
fn a_crash_leaves_a_prefix_with_all_that_was_synced() {
    let (mut lost, mut torn) = (0, 0);
    for groups in [3, 5, 8, 24, 29, 43] {
        let (disk, all_written, durable) = written(groups);
        assert!(durable < all_written.len() || groups == 5);
        for seed in 0..200 {
            let crashed = disk.crash(seed);
            let what = format!("{groups} groups, crash {seed}");
            let seen = all(&crashed).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(seen.len() >= durable, "{what}: {} of {durable} durable frames", seen.len());
            assert_eq!(seen, all_written[..seen.len()], "{what}");
            lost += usize::from(seen.len() < all_written.len());
            let (mut journal, report) = open_relaxed(&crashed, seed).unwrap_or_else(|error| panic!("{what}: {error}"));
            torn += usize::from(report.torn_bytes > 0);
            assert_eq!(journal.durable_seq(), seen.len() as u64, "{what}");
            let more = write(&mut journal, 900);
            journal.sync().unwrap();
            assert_eq!(all(&crashed.crash(seed)).unwrap(), [seen, more].concat(), "{what}");
        }
    }
    assert!(lost > 200 && torn > 50, "{lost} {torn}");
}

#[test]
fn the_end_of_the_process_loses_nothing_even_after_a_failed_sync() {
    let (disk, all_written, _) = written(2);
    assert_eq!(all(&disk).unwrap(), all_written);
    let (mut journal, _) = open_relaxed(&disk, 2).unwrap();
    // Over several sectors: rewriting the last group alone would bring back its own only.
    let more: Vec<Seen> = (50..58).flat_map(|mark| write(&mut journal, mark)).collect();
    disk.fail_at(disk.operations(), Fault::FailedSync);
    journal.sync().unwrap_err();
    assert!(journal.is_poisoned() && journal.segments().len() == 1);
    assert!(matches!(journal.append(&[], Millis(1)), Err(crate::error::Error::Poisoned)));
    drop(journal);
    // The next process reads what the failed sync has left in memory, and must not take it for durable.
    let (journal, _) = open_relaxed(&disk, 3).unwrap();
    let expected = [all_written, more].concat();
    assert_eq!(journal.last_seq(), expected.len() as u64);
    drop(journal);
    for seed in 0..50 {
        assert_eq!(all(&disk.crash(seed)).unwrap(), expected, "crash {seed}");
    }
}

/// A footer proves damage before it, so it may be written only after a sync of its own.
#[test]
fn a_crash_while_a_segment_is_sealed_is_no_damage() {
    let mut sealed = 0;
    for at in 0..60 {
        let disk = new_disk();
        let (mut journal, _) = open_relaxed(&disk, 1).unwrap();
        disk.fail_at(disk.operations() + at, Fault::Io);
        let mut tried = Vec::new();
        let mut mark = 0;
        while let Ok(seen) = try_write(&mut journal, mark) {
            tried.extend(seen);
            mark += 1;
            if mark == 40 {
                break;
            }
        }
        let durable = usize::try_from(journal.durable_seq()).unwrap();
        sealed += usize::from(journal.segments().len() > 1);
        for seed in 0..20 {
            let seen = all(&disk.crash(seed)).unwrap_or_else(|error| panic!("fault at {at}, crash {seed}: {error}"));
            assert!(seen.len() >= durable, "fault at {at}, crash {seed}");
            // Of the write that failed a part may be there, as one that was never answered.
            let both = seen.len().min(tried.len());
            assert_eq!(seen[..both], tried[..both], "fault at {at}, crash {seed}");
        }
    }
    assert!(sealed > 5, "{sealed}");
}

#[test]
fn damage_before_the_last_sync_is_told_from_a_crash() {
    let (disk, all_written, durable) = written(13);
    let path = segment_files(&disk).pop().unwrap();
    let whole = disk.read(&path).unwrap();
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
    let (mut refused, mut shortened) = (0, 0);
    for at in HEADER_BYTES..used {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        let damaged = with_file(&disk, &path, &bytes);
        match all(&damaged) {
            Ok(seen) => {
                assert_eq!(seen, all_written[..seen.len()], "byte {at}");
                shortened += usize::from(seen.len() < all_written.len());
                // The last group that says so begins right behind the last sync: it is the proof, unless it is hit itself.
                assert!(seen.len() >= durable, "byte {at}: synced frames are gone without a word");
            }
            Err(error) => {
                assert!(error.to_string().contains("synced bytes were damaged"), "byte {at}: {error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 1000 && shortened > 100, "{refused} {shortened}");
}

#[test]
fn a_change_of_mode_begins_a_new_segment() {
    let (disk, mut expected, _) = written(3);
    let (mut journal, _) = open(&disk, 2).unwrap();
    expected.extend(append(&mut journal, &payloads(70, 1, 40), 9).unwrap());
    assert_eq!(journal.segments().len(), 2);
    drop(journal);
    let flags: Vec<u8> = segment_files(&disk).iter().map(|path| disk.read(path).unwrap()[20]).collect();
    assert_eq!(flags, [1, 0]);
    let (mut journal, _) = open_relaxed(&disk, 3).unwrap();
    expected.extend(write(&mut journal, 71));
    drop(journal);
    assert_eq!(all(&disk).unwrap(), expected);
    assert_eq!(check(&disk, Path::new(DATA)).unwrap().first_corruption, None);
}
