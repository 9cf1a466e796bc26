//! The user's own files, named on the command line: the one place outside `host` that opens files.
//!
//! `host::Disk` is the data directory's world and must be replaceable by a test; these files are
//! arguments, and a missing one is bad input that deserves its name and a remedy.
#![expect(clippy::disallowed_methods, reason = "files that the user named, not the data directory")]

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::Path;

use crate::cli::fail::Failure;

/// Opens a file for reading.
pub(super) fn open(path: &Path) -> Result<File, Failure> {
    let file = File::open(path).map_err(|error| cannot("read", path, &error))?;
    let is_dir = file.metadata().map_err(|error| cannot("read", path, &error))?.is_dir();
    if is_dir {
        return Err(Failure::input(format!("{} is a directory; name a file", path.display())));
    }
    Ok(file)
}

/// The whole of a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut open(path)?, &mut bytes).map_err(|error| cannot("read", path, &error))?;
    Ok(bytes)
}

/// Writes a whole file through `fill`; on `-` standard output.
pub(super) fn write(path: &Path, fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<(), Failure> {
    if path == Path::new("-") {
        let mut out = BufWriter::new(std::io::stdout().lock());
        return fill(&mut out).and_then(|()| out.flush()).map_err(|error| Failure::output(&error));
    }
    let file = File::create(path).map_err(|error| cannot("write", path, &error))?;
    let mut out = BufWriter::new(file);
    fill(&mut out).and_then(|()| out.flush()).map_err(|error| cannot("write", path, &error))
}

/// The error line for a file. A name that does not exist or may not be read is bad input.
fn cannot(verb: &str, path: &Path, error: &std::io::Error) -> Failure {
    let name = path.display();
    let is = |kind| error.kind() == kind;
    if is(ErrorKind::NotFound) && verb == "read" {
        Failure::input(format!("{name}: no such file; check the path"))
    } else if is(ErrorKind::NotFound) {
        Failure::input(format!("{name}: the folder does not exist; make it first"))
    } else if is(ErrorKind::PermissionDenied) {
        Failure::input(format!("{name}: not allowed to {verb} it; check its permissions"))
    } else if is(ErrorKind::IsADirectory) {
        Failure::input(format!("{name} is a directory; name a file"))
    } else {
        Failure::failed(format!("cannot {verb} {name}: {error}"))
    }
}
