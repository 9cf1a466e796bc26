//! Tells the program a digest of what it derives data by: the sources that normalise, compare and index records and keep
//! them, the tables they read, the versions of what they use, compiler and target. What one build derived and wrote down is
//! taken by a build of the same digest only (`src/store/state/derived.rs`). A comment changes it, too: then a start derives
//! once more than it had to.

#![expect(clippy::disallowed_methods, reason = "a build script reads the sources itself")]

use std::error::Error;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What counts.
const SOURCES: [&str; 10] = [
    "src/build.rs",
    "Cargo.toml",
    "Cargo.lock",
    "data",
    "src/cow",
    "src/index",
    "src/matching",
    "src/model",
    "src/normalize",
    "src/store",
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut files = Vec::new();
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
        collect(Path::new(source), &mut files)?;
    }
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        add(&mut hasher, file.to_string_lossy().as_bytes());
        add(&mut hasher, &std::fs::read(&file)?);
    }
    add(&mut hasher, std::env::var("TARGET")?.as_bytes());
    add(&mut hasher, &Command::new(std::env::var_os("RUSTC").ok_or("no RUSTC")?).arg("-V").output()?.stdout);
    println!("cargo::rustc-env=SELFSAME_DERIVED_BY={:016x}", hasher.finish());
    Ok(())
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    if !path.is_dir() {
        files.push(path.to_path_buf());
        return Ok(());
    }
    for entry in std::fs::read_dir(path)? {
        collect(&entry?.path(), files)?;
    }
    Ok(())
}

fn add(hasher: &mut DefaultHasher, bytes: &[u8]) {
    hasher.write(&(bytes.len() as u64).to_le_bytes());
    hasher.write(bytes);
}
