//! Snapshots on a disk that forgets, fails and rots.

use super::*;
use crate::host::{Fault, MemDisk, SeededRandom};

type Seen = (u64, u8, u8, Vec<u8>);

fn new_disk() -> MemDisk {
    let disk = MemDisk::new();
    disk.create_dir_all(Path::new("/data")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk
}

fn content(seq: u64) -> Vec<Seen> {
    (0..4u8).map(|n| (seq + u64::from(n / 2), n, 1, vec![n ^ 5; 33 * usize::from(n)])).collect()
}

fn write(disk: &MemDisk, seq: u64) -> Result<PathBuf> {
    let random = SeededRandom::new(seq);
    let mut writer = SnapshotWriter::create(Arc::new(disk.clone()), Path::new("/data"), seq, 3, 7, &random)?;
    for (tenant, kind, version, bytes) in content(seq) {
        writer.chunk(tenant, kind, version, &bytes)?;
    }
    writer.finish()
}

fn newest(disk: &MemDisk) -> Option<(u64, Vec<Seen>, usize)> {
    let (snapshot, notes) = Snapshot::newest_valid(disk, Path::new("/data")).unwrap();
    let snapshot = snapshot?;
    let mut seen = Vec::new();
    let collect = &mut |chunk: Chunk<'_>| {
        seen.push((chunk.tenant, chunk.kind, chunk.version, chunk.payload.to_vec()));
        Ok(())
    };
    snapshot.for_each(collect).unwrap();
    let (mut place, mut again, mut spans) = (snapshot.start().unwrap(), Vec::new(), Spans::default());
    loop {
        let some = snapshot.read_on(&mut place, 40).unwrap();
        if some.is_empty() {
            break;
        }
        spans.note_read(&some);
        again.extend(some.into_iter().map(|chunk| (chunk.tenant, chunk.kind, chunk.payload)));
    }
    let whole: Vec<_> = seen.iter().map(|(tenant, kind, _, bytes)| (*tenant, *kind, bytes.clone())).collect();
    assert_eq!(again, whole);
    let snapshot = Arc::new(snapshot);
    let parts = spans.iter().flat_map(|(_, span)| Part::new(&snapshot, span).read().unwrap());
    let parts: Vec<_> = parts.map(|chunk| (chunk.tenant, chunk.kind, chunk.payload)).collect();
    assert_eq!(parts, whole, "tenant by tenant");
    assert_eq!((snapshot.content_version(), snapshot.rkyv_format()), (3, 7));
    Some((snapshot.seq(), seen, notes.len()))
}

/// The newest that can be read to its end, and how many could not.
fn newest_read(disk: &MemDisk) -> Option<(u64, usize)> {
    let mut read = |snapshot: &Arc<Snapshot>| {
        let mut place = snapshot.start()?;
        while !snapshot.read_on(&mut place, 40)?.is_empty() {}
        Ok(())
    };
    let (found, notes) = Snapshot::newest_read(disk, Path::new("/data"), &mut read).unwrap();
    found.map(|(snapshot, ())| (snapshot.seq(), notes.len()))
}

#[test]
fn the_newest_of_two_kept_is_read_and_a_damaged_one_is_said() {
    let disk = new_disk();
    assert_eq!(newest(&disk), None);
    let paths: Vec<PathBuf> = [5, 9, 12].map(|seq| write(&disk, seq).unwrap()).into();
    assert_eq!(disk.list(Path::new("/data")).unwrap().len(), 2);
    assert_eq!(newest(&disk), Some((12, content(12), 0)));
    let whole = disk.read(&paths[2]).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        disk.put(&paths[2], &bytes);
        assert_eq!(newest(&disk), Some((9, content(9), 1)), "byte {at}");
        assert_eq!(newest_read(&disk), Some((9, 1)), "byte {at}, found while reading");
        disk.put(&paths[2], &whole[..at]);
        assert_eq!(newest(&disk), Some((9, content(9), 1)), "cut to {at}");
        assert_eq!(newest_read(&disk), Some((9, 1)), "cut to {at}, found while reading");
    }
    disk.put(&paths[1], b"SELFSNP1");
    assert_eq!(newest(&disk), None);
    let (_, notes) = Snapshot::newest_valid(&disk, Path::new("/data")).unwrap();
    assert_eq!(notes.len(), 2, "also when none is left, it says why: {notes:?}");
}

#[test]
fn a_crash_or_fault_while_writing_leaves_the_one_before() {
    for at in 0..12 {
        for fault in [Fault::Io, Fault::Full, Fault::ShortWrite, Fault::FailedSync] {
            let disk = new_disk();
            write(&disk, 5).unwrap();
            disk.fail_at(disk.operations() + at, fault);
            let finished = write(&disk, 9).is_ok();
            for seed in 0..20 {
                let found = newest(&disk.crash(seed));
                let is_new = found == Some((9, content(9), 0));
                let is_old = found == Some((5, content(5), 0));
                assert!(is_new || (is_old && !finished), "fault {fault:?} at {at}, crash {seed}: {found:?}");
            }
        }
    }
}
