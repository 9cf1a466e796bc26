//! The key file: 32 random bytes that belong to one data directory, kept outside of it.
//!
//! It is made on the first start of a new data directory and never otherwise: with another key,
//! nothing on disk would open and record ids made from content would be others, so a missing file is refused. One line of 64 hexadecimal digits, mode 0600.

use std::path::{Path, PathBuf};

use crate::cli::fail::Failure;
use crate::engine::keys;
use crate::host::{Disk, Random};

/// Bytes of the secret.
const SECRET_BYTES: usize = 32;

/// The secret of a data directory; shown nowhere.
pub(super) type Secret = [u8; SECRET_BYTES];

/// Where the key file of a data directory is unless told otherwise: beside it, `selfsame-data.key`.
pub(super) fn default_path(data_dir: &Path) -> Result<PathBuf, Failure> {
    let name = data_dir.file_name().ok_or_else(|| {
        Failure::input(format!(
            "{} has no name of its own; say where the key file is with --key-file",
            data_dir.display()
        ))
    })?;
    let mut name = name.to_os_string();
    name.push(".key");
    Ok(data_dir.with_file_name(name))
}

/// Reads the secret, or makes it for a data directory that holds nothing yet.
pub(super) fn load(disk: &dyn Disk, random: &dyn Random, path: &Path, data_dir: &Path) -> Result<Secret, Failure> {
    let exists = disk.exists(path).map_err(|error| cannot("look for", path, &error))?;
    if exists {
        return read(disk, path);
    }
    if is_new(disk, data_dir)? { make(disk, random, path) } else { Err(missing(path, data_dir)) }
}

/// Whether nothing was ever stored there: neither frames nor keys.
fn is_new(disk: &dyn Disk, data_dir: &Path) -> Result<bool, Failure> {
    Ok(is_empty(disk, data_dir, "journal")? && is_empty(disk, data_dir, "keys")?)
}

fn is_empty(disk: &dyn Disk, data_dir: &Path, part: &str) -> Result<bool, Failure> {
    match disk.list(&data_dir.join(part)) {
        Ok(files) => Ok(files.is_empty()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(Failure::failed(format!(
            "cannot read the data directory {}: {error}; make it a directory that this user may read and write",
            data_dir.display()
        ))),
    }
}

/// Reads a key file that is there.
pub(super) fn read(disk: &dyn Disk, path: &Path) -> Result<Secret, Failure> {
    let bytes = disk.read(path).map_err(|error| cannot("read", path, &error))?;
    keys::parse(&bytes).ok_or_else(|| {
        Failure::input(format!(
            "{} is not a key file (64 hexadecimal digits); restore it from a backup or name the right one with --key-file",
            path.display()
        ))
    })
}

/// Makes a key file where none is; one that exists is left as it is.
pub(super) fn ensure(disk: &dyn Disk, random: &dyn Random, path: &Path) -> Result<(), Failure> {
    let exists = disk.exists(path).map_err(|error| cannot("look for", path, &error))?;
    if exists { read(disk, path).map(drop) } else { make(disk, random, path).map(drop) }
}

fn make(disk: &dyn Disk, random: &dyn Random, path: &Path) -> Result<Secret, Failure> {
    let mut secret = [0; SECRET_BYTES];
    random.fill(&mut secret);
    let mut line: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    line.push('\n');
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    disk.create_dir_all(folder).map_err(|error| cannot("make the folder of", path, &error))?;
    let write = || -> std::io::Result<()> {
        let file = disk.create_new(path)?;
        file.write_all_at(0, line.as_bytes())?;
        file.sync_data()?;
        disk.sync_dir(folder)
    };
    write().map_err(|error| cannot("write", path, &error))?;
    Ok(secret)
}

fn missing(path: &Path, data_dir: &Path) -> Failure {
    Failure::input(format!(
        "{} holds data, but its key file {} is missing; restore it, or say where it is with --key-file. \
         A new one would not fit the data, so none was made",
        data_dir.display(),
        path.display()
    ))
}

fn cannot(verb: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot {verb} the key file {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{MemDisk, SeededRandom};

    fn load_from(disk: &MemDisk, seed: u64) -> Result<Secret, Failure> {
        load(disk, &SeededRandom::new(seed), Path::new("/x/data.key"), Path::new("/x/data"))
    }

    #[test]
    fn a_new_directory_gets_a_key_and_keeps_it() {
        let disk = MemDisk::new();
        let made = load_from(&disk, 1).unwrap();
        assert_eq!(load_from(&disk, 2).unwrap(), made);
        disk.create_dir_all(Path::new("/x/data/journal")).unwrap();
        disk.put(Path::new("/x/data/journal/1"), b"frames");
        assert_eq!(load_from(&disk, 2).unwrap(), made);
    }

    #[test]
    fn a_directory_with_data_never_gets_a_new_key() {
        let disk = MemDisk::new();
        disk.create_dir_all(Path::new("/x/data/journal")).unwrap();
        disk.put(Path::new("/x/data/journal/1"), b"frames");
        assert!(matches!(load_from(&disk, 1), Err(Failure::Input(text)) if text.contains("--key-file")));
        let disk = MemDisk::new();
        disk.put(Path::new("/x/data/keys/ring.bin"), b"keys");
        assert!(load_from(&disk, 1).is_err(), "there are keys, though no frames yet");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let good = "ab".repeat(SECRET_BYTES);
        assert_eq!(keys::parse(format!(" {good}\n").as_bytes()), Some([0xab; SECRET_BYTES]));
        let long = format!("{good}0");
        for bad in ["", "ab", "xy", &long, &"é".repeat(SECRET_BYTES), &"+a".repeat(SECRET_BYTES)] {
            assert_eq!(keys::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn the_key_lies_beside_the_data() {
        assert_eq!(default_path(Path::new("./selfsame-data/")).unwrap(), Path::new("./selfsame-data.key"));
        assert!(default_path(Path::new("/")).is_err());
    }
}
